"""What is warned of, and refused, by the voxels themselves, in a head that was made and in files that are none."""

import gzip
import os
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.inputs.objects import objects
from metseg.errors import NotMrError
from metseg_worker.readers.open import ReadOptions, open_scan

SIDE = 160


def head(scale: float = 1.0) -> NDArray[np.float64]:
    """An axial slice: air, bright scalp, dark skull, folded brain, and two dark ventricles."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2, indexing="ij")
    out = np.hypot(x / 0.62, y / 0.8) / scale
    folded = 90 + 22 * np.sin(23 * x + 4 * np.sin(9 * y)) * np.cos(19 * y + 3 * np.sin(8 * x))
    ventricles = np.hypot((abs(x) - 0.1 * scale) / 0.07, (y - 0.05) / 0.25) < scale
    return np.select([out < 0.84, out < 0.92, out < 1], [np.where(ventricles, 35, folded), 15, 200], 0.0)


def noisy(pixels: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
    """With the noise of a magnitude image."""
    first, second = np.random.default_rng(1).normal(0, deviation, (2, *pixels.shape))
    return np.hypot(pixels + first, second)


def picture(pixels: NDArray[np.float64], folder: Path) -> str:
    """The warnings of a grey PNG."""
    Image.fromarray(np.clip(pixels.T, 0, 255).astype(np.uint8)).save(folder / "a.png")
    return " ".join(open_scan([folder / "a.png"], Path(mkdtemp(dir=folder)) / "unpacked", ReadOptions()).warnings)


def volume(pixels: NDArray[np.float64], folder: Path, spacing_mm: float = 1.3) -> str:
    """The warnings of a NIfTI file of five such slices."""
    values = np.repeat(pixels[:, :, None], 5, axis=2).astype(np.int16)
    image = nib.Nifti1Image(values, np.diag((spacing_mm, spacing_mm, 2.0, 1.0)))
    nib.save(image, folder / "a.nii")
    return " ".join(open_scan([folder / "a.nii"], Path(mkdtemp(dir=folder)) / "unpacked", ReadOptions()).warnings)


def page() -> NDArray[np.float64]:
    """Black text on white."""
    image = Image.new("L", (300, 400), 255)
    for row in range(20, 380, 12):
        ImageDraw.Draw(image).text((20, row), "expected one scan, got a page of text", fill=0)
    return np.asarray(image, dtype=np.float64).T


def chart() -> NDArray[np.float64]:
    """Grey bars on white."""
    bars = np.full((320, 240), 255.0)
    for place in range(5):
        bars[30 + 55 * place : 70 + 55 * place, 200 - 35 * place : 220] = 60 + 20 * place
    return bars


def x_ray() -> NDArray[np.float64]:
    """Two dark lungs in a chest that fills the film."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, 300)] * 2, indexing="ij")
    lungs = sum(np.exp(-(((x - side) / 0.3) ** 2) - (y / 0.6) ** 2) for side in (-0.45, 0.45))
    return np.asarray(200 - 150 * lungs)


def noise() -> NDArray[np.float64]:
    return np.random.default_rng(1).uniform(0, 255, (SIDE, SIDE))


def mask() -> NDArray[np.float64]:
    return 255.0 * (head() == 200)


def test_a_head_in_dark_air_is_neither_refused_nor_warned_of(tmp_path: Path):
    assert picture(noisy(head(), 4), tmp_path) == ""
    assert volume(noisy(head(), 4), tmp_path) == ""


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_a_photograph_without_colour_is_refused(tmp_path: Path, name):
    spec = find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("no photographs: scikit-learn is not installed")
    with Image.open(Path(spec.submodule_search_locations[0]) / "datasets" / "images" / name) as image:
        pixels = np.asarray(image.convert("L"), dtype=np.float64)
    with pytest.raises(NotMrError, match="photograph"):
        picture(pixels.T, tmp_path)


@pytest.mark.parametrize(
    ("made", "told"),
    [(page, "text"), (chart, "frame"), (x_ray, "X-ray"), (noise, "without order"), (mask, "a mask")],
)
def test_a_picture_that_is_no_scan_is_refused(tmp_path: Path, made, told):
    with pytest.raises(NotMrError, match=told):
        picture(made(), tmp_path)


def test_a_volume_in_hounsfield_units_is_refused(tmp_path: Path):
    body = np.select([head() == 0, head() == 200, head() == 15], [-1000.0, 60, 1200], 35)
    with pytest.raises(NotMrError, match="CT"):
        volume(noise() / 10 + body, tmp_path)


@pytest.mark.parametrize(("made", "told"), [(noise, "without order"), (mask, "a mask")])
def test_a_volume_of_no_scan_is_refused(tmp_path: Path, made, told):
    with pytest.raises(NotMrError, match=told):
        volume(made(), tmp_path)


def test_strong_noise_is_warned_of(tmp_path: Path):
    assert "very noisy" in volume(noisy(head(), 16), tmp_path)


def test_ghosts_beside_the_head_are_warned_of(tmp_path: Path):
    ghosted = 0.75 * head() + 0.25 * np.roll(head(), SIDE // 2, axis=0)
    assert "ghosts" in volume(ghosted, tmp_path)
    assert "ghosts" in picture(ghosted.T, tmp_path)


def test_a_brain_without_its_skull_is_warned_of(tmp_path: Path):
    brain = np.where((head() != 200) & (head() > 20), head(), 0)
    assert "No skull is seen" in volume(brain, tmp_path)


def test_a_picture_with_a_bright_bar_is_warned_of_and_taken(tmp_path: Path):
    barred = head()
    barred[:, :12] = 220
    assert "dark air" in picture(barred, tmp_path)


def test_a_volume_that_shows_no_air_is_warned_of_and_taken(tmp_path: Path):
    assert "dark air" in volume(head()[50:-50, 40:-40].repeat(2, axis=0).repeat(2, axis=1), tmp_path)


@pytest.mark.parametrize("spacing_mm", [2.6, 0.3])
def test_what_is_as_large_as_no_head_is_warned_of(tmp_path: Path, spacing_mm):
    assert "as no head is" in volume(head(), tmp_path, spacing_mm)
    assert "as no head is" not in picture(head(), tmp_path)


def test_a_real_head_seen_from_the_side_is_taken(tmp_path: Path):
    spec = find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("no real head: matplotlib is not installed")
    packed = Path(spec.submodule_search_locations[0]) / "mpl-data" / "sample_data" / "s1045.ima.gz"
    pixels = np.frombuffer(gzip.decompress(packed.read_bytes()), "<u2").reshape(256, 256)
    assert picture(pixels.T * (255 / pixels.max()), tmp_path) == ""


NO_HEAD = "does not look like a human head"


@pytest.mark.parametrize("name", objects())
def test_objects_and_other_parts_of_the_body_are_warned_of(name: str, tmp_path: Path):
    drawing = objects()[name].T.astype(np.float64)
    told = volume(drawing, tmp_path, 0.5 if name == "orange" else 0.9)
    assert NO_HEAD in told or "as no head is" in told


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("is_volume", [True, False], ids=["volume", "picture"])
def test_a_head_is_one_however_it_is_turned(turns: int, is_volume: bool, tmp_path: Path):
    pixels = noisy(np.rot90(head(), turns), 3)
    assert NO_HEAD not in (volume(pixels, tmp_path) if is_volume else picture(pixels, tmp_path))


@pytest.mark.skipif("METSEG_DATA" not in os.environ, reason="real scans: METSEG_DATA is not set")
@pytest.mark.slow
def test_at_most_one_in_five_hundred_real_slices_is_warned_of(tmp_path: Path):
    paths = sorted(Path(os.environ["METSEG_DATA"]).glob("cheng_t1c/images/*.png"))[::4]
    assert len(paths) > 500
    told = [open_scan([path], tmp_path / path.stem, ReadOptions()).warnings for path in paths]
    wrong = [path.name for path, warnings in zip(paths, told, strict=True) if warnings]
    assert len(wrong) <= len(paths) / 500, wrong
