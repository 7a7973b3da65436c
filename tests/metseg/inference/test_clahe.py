"""Equalisation of a whole volume, as the card asks for it."""

import numpy as np
import pytest

from metseg.imaging.scan import Scan, ScanKind
from metseg.imaging.volume import Volume
from metseg.inference.clahe import equalise
from metseg.inference.preprocessing import prepare
from metseg.schemas.model_card import Clahe, Preprocessing


def _volume(seed: int = 0) -> np.ndarray:
    """A dark head of low contrast in air, (slice, x, y)."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((6, 64, 64), np.uint8)
    pixels[:, 8:56, 8:56] = rng.integers(60, 90, (6, 48, 48))
    return pixels


def test_contrast_grows_and_air_stays_air() -> None:
    pixels = _volume()
    result = equalise(pixels, Clahe(clip_limit=8))
    assert result.dtype == np.uint8
    assert (result[pixels == 0] == 0).all()
    assert result[pixels > 0].std() > 2 * pixels[pixels > 0].std()


def test_equal_grey_values_at_one_place_are_equal_in_every_slice() -> None:
    pixels = _volume()
    pixels[:, 30, 30] = 75
    pixels[5] = 0
    pixels[5, 30, 30] = 75  # a nearly empty slice
    values = equalise(pixels, Clahe(tiles=4))[:, 30, 30]
    assert len(set(values.tolist())) == 1


def test_a_brighter_pixel_never_becomes_the_darker_one() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (1, 256, 1))
    result = equalise(ramp, Clahe(tiles=1)).astype(int)
    assert (np.diff(result[0], axis=1) >= 0).all()


def test_an_even_histogram_stays_as_it_is() -> None:
    even = np.tile(np.arange(1, 256, dtype=np.uint8), (1, 64, 1))
    assert np.abs(equalise(even, Clahe(clip_limit=4, tiles=1)).astype(int) - even).max() <= 1


def test_the_clip_limit_holds_contrast_back() -> None:
    pixels = _volume()
    spread = [equalise(pixels, Clahe(clip_limit=limit, tiles=1))[pixels > 0].std() for limit in (1, 2, 8)]
    assert spread[0] < 2 * pixels[pixels > 0].std()
    assert spread[0] < spread[1] < spread[2]


def test_neighbouring_tiles_meet_without_a_step() -> None:
    pixels = np.full((1, 64, 64), 100, np.uint8)
    pixels[0, :32] += np.random.default_rng(0).integers(0, 100, (32, 64)).astype(np.uint8)
    pixels[0, :, 20] = 120
    line = equalise(pixels, Clahe(tiles=4))[0, :, 20].astype(int)
    assert np.abs(np.diff(line)).max() < 40


@pytest.mark.parametrize("wrong", [{"clip_limit": 0.5}, {"tiles": 0}])
def test_a_rule_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Clahe(**wrong)


def test_the_card_decides_and_the_way_back_is_the_same() -> None:
    array = np.moveaxis(_volume(3), 0, 2).astype(np.int16) * 10
    scan = Scan(Volume(array, np.diag([1.0, 1.0, 3.0, 1.0])), ScanKind.NIFTI)
    plain, changed = (
        prepare(scan, Preprocessing(size=64, clahe=rule)) for rule in (None, Clahe(clip_limit=2, tiles=4))
    )
    assert plain.grid == changed.grid
    np.testing.assert_array_equal(plain.kept, changed.kept)
    np.testing.assert_array_equal(changed.pixels, equalise(plain.pixels, Clahe(clip_limit=2, tiles=4)))
    assert (plain.pixels != changed.pixels).any()
    probability = np.random.default_rng(0).random((len(plain.kept), 64, 64), dtype=np.float32)
    np.testing.assert_array_equal(plain.restore(probability).array, changed.restore(probability).array)
