"""False refusals and misses of the gatekeeper: `METSEG_DATA=... python -m benchmarks.gatekeeper`.

Real scans are those of `METSEG_DATA`, the slices also as colour JPEG of low quality, which colours them most, and
one head that matplotlib brings along; real photographs are those of scikit-learn and matplotlib. The rest is made:
out of nothing, or by spoiling real slices. What names of series are taken for is counted last.
"""

import gzip
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion, binary_fill_holes

from benchmarks.inputs.objects import objects
from benchmarks.inputs.series_names import print_confusion
from metseg.errors import InputError
from metseg_worker.readers.open import ReadOptions, open_scan

Pixels = NDArray[np.uint8]
"""(rows, columns), or with three colours behind."""

LOW_QUALITY = 50
EVERY = 5
"""Which of the slices are saved again, as they are or spoilt."""
GHOST = 0.2
SIGNAL_TO_NOISE = 5.0
SKULL_AND_SCALP = 0.11
"""How much is cut away, by the square root of the head's area."""


def main() -> int:
    """Print what is refused and warned of, set by set, and what series are taken for."""
    sys.stdout.write(f"{'':32}{'files':>6}{'refused':>9}{'warned':>8}\n")
    slices = data("cheng_t1c/images/*.png")
    some = [pixels_of(path) for path in slices[::EVERY]]
    with tempfile.TemporaryDirectory() as folder:
        say("real slices", [[path] for path in slices])
        coloured = [np.repeat(one[:, :, None], 3, axis=2) for one in some]
        say("  some as colour JPEG", saved(coloured, Path(folder) / "jpeg", "jpg"))
        say("real volumes", [[path] for path in data("btp_t1c_nifti/*_t1c.nii.gz")])
        series = sorted(path for path in data("dicom_t1_head/**/*") if path.is_file())
        say(
            "real DICOM series",
            [*([series] if series else []), *[[path] for path in data("healthy_t1_dicom/*.zip")]],
        )
        say("head from the side", saved(sagittal(), Path(folder) / "sagittal"))
        for name, spoil in {"noise": noisy, "ghosts": ghosted, "no skull": stripped}.items():
            say(f"real slices with {name}", saved([spoil(one) for one in some], Path(folder) / f"with {name}"))
        say("photographs", [[path] for path in photographs()])
        greys = [pixels_of(path) for path in photographs()]
        say("  without colour", saved(greys, Path(folder) / "greys"))
        for name, made in {**made_up(), **objects()}.items():
            say(name, saved([made], Path(folder) / name))
    print_confusion()
    return 0


def say(name: str, scans: Sequence[Sequence[Path]]) -> None:
    """Print one line; a scan may be several files."""
    answers = [answer(paths) for paths in scans]
    refused, warned = answers.count("refused"), answers.count("warned")
    sys.stdout.write(f"{name:32}{len(scans):6}{refused:9}{warned:8}\n")
    sys.stdout.flush()


def answer(paths: Sequence[Path]) -> str:
    """What a scan meets with."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            scan = open_scan(paths, Path(folder) / "unpacked", ReadOptions())
        except InputError:
            return "refused"
    return "warned" if scan.warnings else "taken"


def data(pattern: str) -> list[Path]:
    """Files of `METSEG_DATA`, none where it is not set."""
    folder = os.environ.get("METSEG_DATA")
    return [] if folder is None else sorted(Path(folder).glob(pattern))


def beside(package: str, pattern: str) -> Iterator[Path]:
    """Files that another package brings along."""
    spec = find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec else []:
        yield from sorted(Path(place).glob(pattern))


def photographs() -> list[Path]:
    """Photographs in colour."""
    return [*beside("sklearn", "datasets/images/*.jpg"), *beside("matplotlib", "mpl-data/sample_data/*.jpg")]


def sagittal() -> Iterator[Pixels]:
    """A real head of 256×256 stored 16-bit values."""
    for path in beside("matplotlib", "mpl-data/sample_data/s1045.ima.gz"):
        stored = np.frombuffer(gzip.decompress(path.read_bytes()), "<u2").reshape(256, 256)
        yield to_grey(stored * (255.0 / stored.max()))


def pixels_of(path: Path) -> Pixels:
    """A picture in grey."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), dtype=np.uint8)


def saved(pictures: Iterable[Pixels], folder: Path, suffix: str = "png") -> list[list[Path]]:
    """Each as a file of its own."""
    folder.mkdir()
    paths = []
    for number, pixels in enumerate(pictures):
        paths.append([folder / f"{number}.{suffix}"])
        Image.fromarray(pixels).save(paths[-1][0], quality=LOW_QUALITY)  # which PNG knows nothing of
    return paths


def to_grey(values: NDArray[np.floating[Any]]) -> Pixels:
    """Rounded, and cut off at white."""
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def noisy(pixels: Pixels) -> Pixels:
    """With the noise of a magnitude image."""
    head = pixels > 0.2 * np.percentile(pixels, 98)
    noise = np.random.default_rng(1).normal(0, np.median(pixels[head]) / SIGNAL_TO_NOISE, (2, *pixels.shape))
    return to_grey(np.hypot(pixels + noise[0], noise[1]))


def ghosted(pixels: Pixels) -> Pixels:
    """With a ghost half a field of view away, along the rows."""
    return to_grey((1 - GHOST) * pixels + GHOST * np.roll(pixels, len(pixels) // 2, axis=0))


def stripped(pixels: Pixels) -> Pixels:
    """Without what lies close to the head's outline."""
    head = binary_fill_holes(pixels > 0.2 * np.percentile(pixels, 98))
    return np.where(binary_erosion(head, iterations=round(SKULL_AND_SCALP * head.sum() ** 0.5)), pixels, 0)


def made_up() -> dict[str, Pixels]:
    """Pictures that are no scan, by name."""
    random = np.random.default_rng(1)
    ramp = np.linspace(0, 255, 256)[None, :, None] * np.ones((256, 1, 3))
    x, y = np.meshgrid(np.linspace(-1, 1, 256), np.linspace(-1, 1, 256))
    lungs = sum(np.exp(-(((x - side) / 0.3) ** 2) - (y / 0.6) ** 2) for side in (-0.45, 0.45))
    return {
        "noise in colour": random.integers(0, 256, (256, 256, 3), np.uint8),
        "rainbow": np.abs(ramp - np.array((0, 128, 255))).astype(np.uint8),
        "sepia": (ramp * np.array((1, 0.8, 0.6))).astype(np.uint8),
        "noise": random.integers(0, 256, (256, 256), np.uint8),
        "page": page(),
        "page, inverted": np.asarray(255 - page()),
        "chart": chart(),
        "chart, inverted": np.asarray(255 - chart()),
        "chest X-ray": to_grey(200 - 150 * np.asarray(lungs)),
        "mask": to_grey(255.0 * (np.hypot(x, y) < 0.3)),
    }


def page() -> Pixels:
    """Black text on white."""
    image = Image.new("L", (400, 400), 255)
    for row in range(20, 380, 12):
        ImageDraw.Draw(image).text((20, row), "expected one scan, got a page of text " * 2, fill=0)
    return np.asarray(image)


def chart() -> Pixels:
    """Grey bars on white."""
    image = Image.new("L", (400, 400), 255)
    for place in range(8):
        bar = (40 + 40 * place, 300 - 30 * place, 65 + 40 * place, 350)
        ImageDraw.Draw(image).rectangle(bar, fill=60 + 10 * place)
    return np.asarray(image)


if __name__ == "__main__":
    sys.exit(main())
