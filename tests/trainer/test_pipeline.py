from dataclasses import replace

import numpy as np
import pytest

from metseg_trainer.augment import Augmentation, Frame
from metseg_trainer.pipeline import SliceDataset, unchanged_slices
from metseg_trainer.pools import Pool, make_pool
from metseg_trainer.recipes import STRONG
from metseg_trainer.shares import Share
from metseg_trainer.slices import PreparedCase

FRAME = Frame((32, 48))


def _case(name: str, slices: int, with_lesion: range) -> PreparedCase:
    rng = np.random.default_rng(slices)
    pixels = rng.integers(0, 256, (slices, 64, 64), dtype=np.uint8)
    mask = np.zeros_like(pixels)
    mask[list(with_lesion), 24:40, 24:40] = 1
    return PreparedCase(name, pixels, mask, np.arange(1, slices), (31.5, 31.5))


@pytest.fixture(scope="module")
def pools() -> list[Pool]:
    volumes = [_case("a", 20, range(5, 10)), _case("b", 12, range(3))]
    pictures = [
        PreparedCase(f"p{i}", c.pixels[:1], c.mask[5:6], np.arange(1), c.centre)
        for i, c in enumerate([_case("a", 20, range(5, 10))] * 6)
    ]
    return [make_pool(volumes, Share(20, lesion_fraction=0.4)), make_pool(pictures, Share(6))]


def _dataset(pools: list[Pool], epoch: int = 0, seed: int = 7) -> SliceDataset:
    return SliceDataset(pools, batch=4, frame=FRAME, strength=STRONG, seed=seed, epoch=epoch)


def test_batches_have_the_networks_types_and_the_frames_size(pools: list[Pool]) -> None:
    images, masks = _dataset(pools)[0]
    assert (images.shape, images.dtype) == ((4, 32, 48, 3), np.uint8)
    assert (masks.shape, masks.dtype) == ((4, 32, 48, 1), np.uint8)
    assert set(np.unique(masks)) <= {0, 1}


def test_an_epoch_can_be_made_again_in_any_order(pools: list[Pool]) -> None:
    one, again = _dataset(pools, epoch=3), _dataset(pools, epoch=3)
    assert len(one) == 6
    backwards = {index: again[index] for index in reversed(range(len(again)))}
    for index in range(len(one)):
        np.testing.assert_array_equal(one[index][0], backwards[index][0])
        np.testing.assert_array_equal(one[index][1], backwards[index][1])


def test_another_epoch_and_another_seed_show_other_pictures(pools: list[Pool]) -> None:
    first = _dataset(pools)[0][0]
    assert (first != _dataset(pools, epoch=1)[0][0]).any()
    assert (first != _dataset(pools, seed=8)[0][0]).any()


def test_sources_and_lesions_have_their_shares(pools: list[Pool]) -> None:
    still = SliceDataset(pools, batch=26, frame=FRAME, strength=Augmentation(), seed=1, epoch=0)
    _, masks = still[0]
    assert len(masks) == 26
    assert masks.any(axis=(1, 2, 3)).sum() == round(0.4 * 20) + 6


def test_every_slice_of_a_source_is_taken_before_one_comes_again(pools: list[Pool]) -> None:
    pool = make_pool(pools[1].cases, Share(12))
    _, counts = np.unique(pool.draw(np.random.default_rng(0)), axis=0, return_counts=True)
    assert counts.tolist() == [2] * 6


def test_air_is_never_shown(pools: list[Pool]) -> None:
    assert (pools[0].with_lesion[:, 1] > 0).all()
    assert (pools[0].without_lesion[:, 1] > 0).all()


def test_a_source_without_lesions_fills_its_share_all_the_same() -> None:
    pool = make_pool([_case("a", 5, range(0))], Share(3, lesion_fraction=1.0))
    assert pool.draw(np.random.default_rng(0)).shape == (3, 2)


def test_a_volume_is_sometimes_shown_as_a_lone_slice(pools: list[Pool]) -> None:
    lone = replace(pools[0], share=Share(20, lesion_fraction=0.4, lone=1.0))
    ((images, _),) = unchanged_slices([lone], FRAME)
    assert (images[..., 0] == images[..., 2]).all()
    ((images, _),) = unchanged_slices([pools[0]], FRAME)
    assert (images[..., 0] != images[..., 2]).any()


def test_validation_slices_are_the_same_every_time(pools: list[Pool]) -> None:
    for (one, _), (again, _) in zip(unchanged_slices(pools, FRAME), unchanged_slices(pools, FRAME), strict=True):
        np.testing.assert_array_equal(one, again)
