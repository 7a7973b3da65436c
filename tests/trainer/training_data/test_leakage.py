"""Images on both sides of a split, and what is no alarm."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from metseg.errors import InputError
from metseg.imaging.picture import write_picture
from metseg.schemas.model_card import Preprocessing
from metseg_trainer.datasets import Case
from metseg_trainer.datasets.prepared_cases import PreparedCase
from metseg_trainer.recipes.recipe import Source
from metseg_trainer.training_data.checks import check_sources
from metseg_trainer.training_data.leakage import NEAR, expect_no_copies, find_near_copy, fingerprints
from metseg_trainer.training_data.sources import Paths, parts_of

Picture = np.ndarray


def _head(seed: int, side: int = 256) -> Picture:
    """A smooth blob of brain with folds, unlike that of any other seed."""
    rng = np.random.default_rng(seed)
    folds = cv2.resize(rng.normal(0, 40, (24, 24)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    x, y = np.meshgrid(*[np.linspace(-1.2, 1.2, side)] * 2, indexing="ij")
    inside = np.hypot(x, y / 1.1) < 1
    return np.clip((120 + folds) * inside, 0, 255).astype(np.uint8)


def _compressed(picture: Picture) -> Picture:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_GRAYSCALE)


def _noisy(picture: Picture) -> Picture:
    return np.clip(picture + np.random.default_rng(1).normal(0, 5, picture.shape), 0, 255).astype(np.uint8)


def _coarse(picture: Picture) -> Picture:
    return cv2.resize(cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA), (256, 256))


COPIES: dict[str, Callable[[Picture], Picture]] = {
    "itself": lambda picture: picture,
    "noise": _noisy,
    "another format": _compressed,
    "a darker one": lambda picture: (picture * 0.6).astype(np.uint8),
    "another gamma": lambda picture: (255 * (picture / 255) ** 1.3).astype(np.uint8),
    "half the resolution": _coarse,
}


def _seen(name: str, *slices: Picture) -> tuple[Case, PreparedCase]:
    pixels = np.stack(slices)
    made = PreparedCase(name, pixels, np.zeros_like(pixels), np.arange(len(pixels)), (128, 128))
    return Case(name, name, Path(__file__), Path(__file__)), made


def _named(name: str, *slices: Picture) -> tuple[Case, PreparedCase]:
    case, made = _seen(name, *slices)
    return Case(name, name, Path(f"{name}.png"), case.mask), made


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_is_known_by_its_fingerprint(change: str) -> None:
    others = [_named(f"train_{seed}", _head(seed)) for seed in range(1, 9)]
    copy = find_near_copy([*others, _named("original", _head(0))], [_named("copy", COPIES[change](_head(0)))])
    assert copy is not None
    assert (copy.train.name, copy.validation.name) == ("original.png", "copy.png")


def test_other_heads_are_no_copies() -> None:
    train = [_named(f"train_{seed}", _head(seed)) for seed in range(20)]
    kept = [_named(f"kept_{seed}", _head(seed)) for seed in range(20, 30)]
    assert find_near_copy(train, kept) is None


def test_empty_pictures_are_no_copies_of_each_other() -> None:
    black = np.zeros((256, 256), np.uint8)
    assert find_near_copy([_named("a", black)], [_named("b", black + np.uint8(1))]) is None
    assert not fingerprints(black[None]).any()


def test_a_slice_of_a_training_volume_is_known_among_those_kept() -> None:
    volume = [_head(seed) for seed in range(9)]
    copy = find_near_copy([_named("volume", *volume)], [_named("slice", _noisy(volume[4]))])
    assert copy is not None
    assert copy.correlation >= NEAR


def test_the_same_file_twice_is_named_on_both_sides(tmp_path: Path) -> None:
    for name in ("one.png", "other.png"):
        write_picture(tmp_path / name, _head(3))
    one, other = (Case(n, n, tmp_path / n, tmp_path / n) for n in ("one.png", "other.png"))
    made = _seen("x", np.zeros((64, 64), np.uint8))[1]
    with pytest.raises(
        InputError, match=r"one\.png trains, and .*other\.png, kept for validation, is the same file"
    ):
        expect_no_copies([(one, made)], [(other, made)])


def test_a_near_copy_stops_the_checks_and_names_both_files(write_cases, tmp_path: Path) -> None:
    folder = write_cases(tmp_path / "set", count=3)
    for number in range(3):
        write_picture(folder / "images" / f"case_{number:02d}.png", _head(number, side=64))
    write_picture(folder / "images" / "case_02.png", _noisy(_head(0, side=64)))
    places = Paths(tmp_path, tmp_path, tmp_path, tmp_path / "cache")
    source = Source("set", "set", validation_patients=("case_02",))
    with pytest.raises(InputError, match=r"case_00\.png trains, and .*case_02\.png.* nearly the same"):
        check_sources([source], places, Preprocessing(size=64))


@pytest.mark.slow
def test_the_committed_split_shares_no_image(real_images: Path) -> None:
    places = Paths(real_images, real_images, Path(__file__).parents[3] / "splits", real_images)
    parts = parts_of(Source("cheng", "cheng_t1c", split="cheng_t1c"), places)
    train, kept = (
        [(case, _seen(case.name, cv2.imread(str(case.image), cv2.IMREAD_GRAYSCALE))[1]) for case in cases]
        for cases in parts.values()
    )
    assert len(train) + len(kept) == 2303
    expect_no_copies(train, kept)
