"""Heads without a skull, made from heads with one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from metseg.imaging.scan import Scan, ScanKind
from metseg.imaging.volume import Volume
from metseg.inference.preprocessing import prepare
from metseg.schemas.model_card import Preprocessing
from metseg_trainer.batches.augmentation import Augmentation, Frame, augment
from metseg_trainer.implants import StripSettings, strip_skull

Slab = NDArray[np.uint8]
SIDE = 192
WHOLE = Frame((SIDE, SIDE))
CENTRE = ((SIDE - 1) / 2, (SIDE - 1) / 2)


def _head() -> tuple[Slab, NDArray[np.float64]]:
    """A head and how far out each pixel lies; below 0.82 is brain."""
    rng = np.random.default_rng(0)
    x, y = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    away = np.hypot(x / 72, y / 84)
    head = np.select([away < 0.82, away < 0.93, away < 1], [100, 15, 220], default=2)[..., None]
    noisy = head + rng.normal(0, 6, (SIDE, SIDE, 3)) * (away < 1)[..., None]
    return np.clip(noisy, 0, 255).astype(np.uint8), away


def _strip(slab: Slab, seed: int = 0, **changes: float) -> Slab:
    mask = np.zeros(slab.shape[:2], np.uint8)
    return strip_skull(slab, mask, StripSettings(**changes), np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(8))
def test_the_brain_stays_and_the_scalp_goes(seed: int) -> None:
    slab, away = _head()
    stripped = _strip(slab, seed, leftover=0.0)
    assert (stripped[away < 0.7] > 0).mean() > 0.99
    assert (stripped[away > 0.93] > 0).mean() < 0.01


def test_the_cut_is_imperfect_in_another_way_each_time() -> None:
    slab, away = _head()
    kept = [(_strip(slab, seed, leftover=0.0)[..., 1] > 0).sum() for seed in range(12)]
    assert 0.01 < np.std(kept) / np.mean(kept) < 0.1
    left = [(_strip(slab, seed, leftover=1.0)[away > 0.93] > 0).any() for seed in range(12)]
    assert np.mean(left) > 0.7


def test_a_stripped_brain_comes_out_brighter() -> None:
    slab, away = _head()
    inside = away < 0.6
    assert np.median(_strip(slab)[inside]) > 1.3 * np.median(slab[inside])


@pytest.mark.parametrize("slices", [1, 3])
def test_grey_values_are_those_that_preparing_the_stripped_image_gives(slices: int) -> None:
    slab, _ = _head()
    slab = np.repeat(slab[..., :1], 3, axis=2) if slices == 1 else slab
    stripped = _strip(slab)
    source = np.where(stripped > 0, slab, np.uint8(0))[..., :slices]
    scan = Scan(Volume(source, np.eye(4)), ScanKind.PICTURE, has_spacing=False)
    prepared = np.moveaxis(prepare(scan, Preprocessing(size=SIDE)).pixels, 0, -1)
    np.testing.assert_array_equal(stripped[..., :slices], prepared)


def test_a_lesion_at_the_edge_is_kept() -> None:
    slab, away = _head()
    mask = ((away > 0.7) & (away < 0.9) & (np.arange(SIDE)[None] < 40)).astype(np.uint8)
    slab[mask > 0] = 180
    stripped = strip_skull(slab, mask, StripSettings(offset_px=6.0), np.random.default_rng(3))
    assert (stripped[mask > 0] > 0).all()


def test_a_head_that_has_no_skull_stays_nearly_as_it_is() -> None:
    slab, away = _head()
    bare = np.where((away < 0.82)[..., None], slab, np.uint8(0))
    stripped = _strip(bare, leftover=0.0)
    assert (stripped[away < 0.75] > 0).mean() > 0.99


def test_augmentation_strips_as_often_as_it_is_told() -> None:
    slab, away = _head()
    mask = np.zeros(slab.shape[:2], np.uint8)

    def stripped(seed: int, chance: float) -> bool:
        strength = Augmentation(strip=chance)
        rng = np.random.default_rng(seed)
        changed, _ = augment(rng, slab, mask, strength, frame=WHOLE, centre=CENTRE)
        return bool((changed[(away > 0.94) & (away < 0.98)] > 100).mean() < 0.5)

    assert [stripped(seed, 0.0) for seed in range(5)] == [False] * 5
    assert 0.2 < np.mean([stripped(seed, 0.4) for seed in range(40)]) < 0.6
