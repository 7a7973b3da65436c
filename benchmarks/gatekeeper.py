"""False refusals and misses of the gatekeeper: `METSEG_DATA=... python -m benchmarks.gatekeeper`.

Real grey slices are those of `METSEG_DATA`, saved as colour JPEG of low quality, which colours them most; real
photographs are those that scikit-learn and matplotlib bring along. The rest is made up.
"""

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from metseg.errors import InputError
from metseg.limits import DEFAULT_LIMITS
from metseg.picture import read_picture

PHOTOGRAPHS = {"sklearn": "datasets/images/*.jpg", "matplotlib": "mpl-data/sample_data/*.jpg"}
LOW_QUALITY = 50


def main() -> int:
    """Print what is refused of slices and what is let through of other pictures."""
    say("slices", [as_colour_jpeg(path) for path in slices()], refused_is_wrong=True)
    say("photographs", [path.read_bytes() for path in photographs()], refused_is_wrong=False)
    say("colours that were made up", list(made_up()), refused_is_wrong=False)
    greys = [grey(path) for path in photographs()]
    say("photographs without colour", greys, refused_is_wrong=False)
    return 0


def say(name: str, pictures: list[bytes], *, refused_is_wrong: bool) -> None:
    """Print one line."""
    refused = sum(map(is_refused, pictures))
    wrong = refused if refused_is_wrong else len(pictures) - refused
    kind = "refused by mistake" if refused_is_wrong else "let through"
    sys.stdout.write(f"{name:28} {len(pictures):5}   {kind}: {wrong}\n")


def is_refused(content: bytes) -> bool:
    """Whether the reader of pictures refuses it."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            read_picture(Path(file.name), DEFAULT_LIMITS)
        except InputError:
            return True
    return False


def slices() -> Iterator[Path]:
    """The real slices, none where `METSEG_DATA` is not set."""
    folder = os.environ.get("METSEG_DATA")
    return iter(()) if folder is None else Path(folder).glob("cheng_t1c_axial/images/*.png")


def photographs() -> Iterator[Path]:
    """Photographs that lie beside other packages."""
    for package, pattern in PHOTOGRAPHS.items():
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            yield from sorted(Path(place).glob(pattern))


def as_colour_jpeg(path: Path) -> bytes:
    """A grey picture as JPEG in three channels."""
    with Image.open(path) as image:
        return jpeg(image.convert("RGB"))


def grey(path: Path) -> bytes:
    """A photograph in grey."""
    with Image.open(path) as image:
        return jpeg(image.convert("L"))


def made_up() -> Iterator[bytes]:
    """Noise, a rainbow, and a grey ramp in sepia."""
    ramp = np.linspace(0, 255, 256)[None, :, None] * np.ones((256, 1, 3))
    yield jpeg(Image.fromarray(np.random.default_rng(1).integers(0, 256, (256, 256, 3), np.uint8)))
    yield jpeg(Image.fromarray(np.abs(ramp - np.array((0, 128, 255))).astype(np.uint8)))
    yield jpeg(Image.fromarray((ramp * np.array((1, 0.8, 0.6))).astype(np.uint8)))


def jpeg(image: Image.Image) -> bytes:
    """A picture as JPEG of low quality."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=LOW_QUALITY)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
