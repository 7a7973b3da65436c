from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metseg_trainer.batches.augmentation import Frame
from metseg_trainer.batches.dataset import Sampling, SliceDataset, component_weights, unchanged_slices
from metseg_trainer.batches.hard_negatives import mine, read_mined, write_mined
from metseg_trainer.batches.sampling import Pool, make_pool
from metseg_trainer.batches.shares import Share
from metseg_trainer.datasets.prepared_cases import PreparedCase
from metseg_trainer.implants import Implanter, ImplantSettings, Kind, Odds
from metseg_trainer.recipes.recipe import STRONG
from metseg_trainer.training.losses import WEIGHT_ONE

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
    return SliceDataset(pools, Sampling(4, FRAME, STRONG), seed=seed, epoch=epoch)


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
    still = SliceDataset(pools, Sampling(26, FRAME), seed=1, epoch=0)
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


def test_small_lesions_weigh_more_than_large_ones_up_to_a_limit() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[2:4, 2:4] = 1
    mask[10:20, 10:20] = 2
    mask[30:60, 30:60] = 1
    weights = component_weights(mask, 1.0)
    assert weights[0, 0] == weights[40, 40] == WEIGHT_ONE
    assert weights[3, 3] == 3 * WEIGHT_ONE
    assert weights[15, 15] == round(np.sqrt(2) * WEIGHT_ONE)
    np.testing.assert_array_equal(component_weights(mask, 0.5)[15, 15], WEIGHT_ONE)


def test_weights_come_as_a_second_channel_of_the_truth(pools: list[Pool]) -> None:
    plain = _dataset(pools)[0][1]
    weighted = SliceDataset(pools, Sampling(4, FRAME, STRONG, weighted=True), seed=7, epoch=0)[0][1]
    np.testing.assert_array_equal(weighted[..., :1], plain)
    assert weighted[..., 1].min() == WEIGHT_ONE


def test_hard_negatives_fill_half_of_the_slices_without_lesion(pools: list[Pool]) -> None:
    hard = pools[0].without_lesion[:1]
    drawn = replace(pools[0], hard=hard).draw(np.random.default_rng(0))
    assert (drawn == hard).all(axis=1).sum() >= 6
    assert len(drawn) == 20


def test_what_is_marked_most_is_mined(pools: list[Pool]) -> None:
    def bright(slices: np.ndarray) -> np.ndarray:
        return slices[..., 1:2].astype(np.float32) / 255

    mined = mine({"volumes": pools[0]}, bright, FRAME, seed=0)["volumes"]
    seen = [pools[0].cases[case].stack(z)[16:48, 8:56] for case, z in mined]
    scores = [bright(one).sum() for one in seen]
    assert len(mined) == round(0.15 * len(pools[0].without_lesion))
    assert scores == sorted(scores, reverse=True)
    assert mine({"volumes": pools[0]}, bright, FRAME, seed=0)["volumes"] == mined


def test_mined_slices_are_kept_by_stage(tmp_path: Path) -> None:
    path = tmp_path / "hard_negatives.json"
    assert read_mined(path, 1) is None
    write_mined(path, 1, {"a": [[0, 3]]})
    write_mined(path, 2, {"a": []})
    assert (read_mined(path, 1), read_mined(path, 2), read_mined(path, 0)) == ({"a": [[0, 3]]}, {"a": []}, None)


def test_lesions_of_a_case_have_the_class_of_their_kind(pools: list[Pool]) -> None:
    case = replace(pools[0].cases[0], lesion_class=3)
    assert set(np.unique(case.classes(6))) == {0, 3}


def test_implants_come_in_their_share_of_slices_and_change_no_other() -> None:
    rng = np.random.default_rng(0)
    x, y = np.mgrid[:96, :96] - 47.5
    away = np.hypot(x / 40, y / 44)
    head = np.select([away < 0.8, away < 0.93, away < 1], [110, 15, 200], default=2)
    pixels = np.clip(head + rng.normal(0, 3, (6, 96, 96)), 0, 255).astype(np.uint8)
    case = PreparedCase("head", pixels, np.zeros_like(pixels), np.arange(6), (47.5, 47.5))
    settings = ImplantSettings(distractors=0.0, empty=0.0, lesions=(Odds(Kind.SOLID, (8, 12), 1.0),))
    pool = make_pool([case], Share(40, implants=0.5))
    sampling = Sampling(batch=40, frame=Frame((96, 96)))
    plain, _ = SliceDataset([pool], sampling, seed=3, epoch=1)[0]
    painting = replace(pool, implanter=Implanter(settings))
    (slices, masks), (again, _) = (SliceDataset([painting], sampling, seed=3, epoch=1)[0] for _ in range(2))
    np.testing.assert_array_equal(slices, again)
    painted = masks.any(axis=(1, 2, 3))
    assert 10 <= painted.sum() <= 26
    np.testing.assert_array_equal((slices != plain).any(axis=(1, 2, 3))[painted], True)
    assert (slices == plain).all(axis=(1, 2, 3)).sum() >= 12
