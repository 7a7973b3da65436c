import math

import numpy as np
import pytest

from metseg_trainer.metrics.bootstrap import mean_with_interval, ratio_with_interval
from metseg_trainer.metrics.overlap import Overlap, overlap
from metseg_trainer.metrics.sizes import BY_DIAMETER, BY_VOLUME
from metseg_trainer.metrics.surface import compare_surfaces
from metseg_trainer.metrics.surface_elements import corner_places, surface_elements

UNIT = (1.0, 1.0, 1.0)


@pytest.fixture
def cube() -> np.ndarray:
    mask = np.zeros((20, 20, 12), bool)
    mask[5:11, 5:11, 3:9] = True
    return mask


@pytest.fixture
def nothing(cube: np.ndarray) -> np.ndarray:
    return np.zeros_like(cube)


def test_two_empty_masks_overlap_fully_and_one_empty_mask_not_at_all(
    cube: np.ndarray, nothing: np.ndarray
) -> None:
    assert overlap(nothing, nothing) == Overlap(1, 1, 1, 1)
    assert overlap(cube, nothing) == overlap(nothing, cube) == Overlap(0, 0, 0, 0)


def test_identical_masks_overlap_fully(cube: np.ndarray) -> None:
    assert overlap(cube, cube) == Overlap(1, 1, 1, 1)


def test_overlap_of_a_mask_shifted_by_a_voxel(cube: np.ndarray) -> None:
    shifted = overlap(cube, np.roll(cube, 1, axis=0))
    assert shifted.dice == pytest.approx(5 / 6)
    assert shifted.iou == pytest.approx(5 / 7)
    assert shifted.precision == shifted.recall == pytest.approx(5 / 6)


def test_precision_and_recall_tell_too_much_from_too_little(cube: np.ndarray) -> None:
    half = cube.copy()
    half[8:] = False
    assert overlap(cube, half).precision == 1
    assert overlap(cube, half).recall == 0.5
    assert overlap(half, cube).precision == 0.5


def test_surfaces_of_empty_masks(cube: np.ndarray, nothing: np.ndarray) -> None:
    both = compare_surfaces(nothing, nothing, UNIT)
    assert (both.hausdorff95, both.dice_within(1.0)) == (0, 1)
    for pair in ((cube, nothing), (nothing, cube)):
        one = compare_surfaces(*pair, UNIT)
        assert math.isinf(one.hausdorff95)
        assert one.dice_within(1.0) == 0


def test_identical_surfaces_have_no_distance(cube: np.ndarray) -> None:
    same = compare_surfaces(cube, cube, (0.5, 0.5, 5.0))
    assert same.hausdorff95 == 0
    assert same.dice_within(0.0) == 1


@pytest.mark.parametrize(("axis", "spacing"), [(0, 0.7), (1, 1.5), (2, 3.0)])
def test_a_shift_by_a_voxel_is_as_far_as_the_spacing_of_its_axis(
    cube: np.ndarray, axis: int, spacing: float
) -> None:
    shifted = compare_surfaces(cube, np.roll(cube, 1, axis=axis), (0.7, 1.5, 3.0))
    assert shifted.hausdorff95 == pytest.approx(spacing)
    assert (shifted.dice_within(1.0) == 1) == (spacing <= 1)


def test_a_far_speck_of_little_surface_does_not_move_the_95th_percentile(cube: np.ndarray) -> None:
    speckled = cube.copy()
    speckled[19, 19, 11] = True
    assert compare_surfaces(cube, speckled, UNIT).hausdorff95 == 0


def test_a_picture_has_an_outline_and_no_faces(cube: np.ndarray) -> None:
    square = cube[:, :, 5:6]
    shifted = compare_surfaces(square, np.roll(square, 2, axis=0), UNIT)
    assert shifted.hausdorff95 == 2
    assert shifted.truth.sizes.sum() == pytest.approx(20 + 4 * math.sqrt(0.5))


def test_the_surface_of_a_cube_has_its_faces_edges_and_corners(cube: np.ndarray) -> None:
    area = compare_surfaces(cube, cube, UNIT).truth.sizes.sum()
    corner = math.sqrt(3) / 8
    assert area == pytest.approx(6 * 25 + 12 * 5 * math.sqrt(0.5) + 8 * corner)


def test_surface_elements_know_no_inside_and_turn_with_the_axes() -> None:
    spacing, turned = (0.7, 1.5, 3.0), (1.5, 3.0, 0.7)
    sizes, other = surface_elements(spacing), surface_elements(turned)
    np.testing.assert_allclose(sizes, sizes[::-1])
    places = corner_places(3)
    for pattern in range(256):
        inside = {place for bit, place in enumerate(places) if pattern >> bit & 1}
        again = sum(1 << bit for bit, (a, b, c) in enumerate(places) if (c, a, b) in inside)
        assert sizes[pattern] == pytest.approx(other[again])


def test_every_pattern_but_none_and_all_has_a_surface() -> None:
    for axes in (2, 3):
        sizes = surface_elements((1.0,) * axes)
        assert (sizes[1:-1] > 0.2).all()
        assert sizes[0] == sizes[-1] == 0


def test_the_interval_holds_the_mean_and_narrows_with_more_cases() -> None:
    rng = np.random.default_rng(0)
    few, many = (mean_with_interval(rng.uniform(0, 1, n).tolist()) for n in (10, 1000))
    assert few.low < few.value < few.high
    assert many.high - many.low < (few.high - few.low) / 5


def test_one_patient_alone_has_no_interval() -> None:
    one = mean_with_interval([0.4, 0.6], ["a", "a"])
    assert (one.value, one.low, one.high, one.cases) == (0.5, None, None, 2)
    assert one.text == "0.500 (no interval)"


def test_cases_of_one_patient_are_drawn_together() -> None:
    values = [0.2] * 10 + [0.4] * 10 + [0.9] * 10
    alone = mean_with_interval(values)
    patients = mean_with_interval(values, [name for name in "abc" for _ in range(10)])
    assert alone.value == pytest.approx(patients.value)
    assert patients.cases == 30
    assert patients.high - patients.low > 2 * (alone.high - alone.low)


def test_a_ratio_sums_before_it_divides_and_leaves_out_cases_without_a_whole() -> None:
    ratio = ratio_with_interval([2, 0, 0], [2, 1, 0])
    assert ratio is not None
    assert ratio.value == pytest.approx(2 / 3)
    assert ratio.cases == 2
    assert ratio_with_interval([0], [0]) is None
    with pytest.raises(ValueError, match="at least one case"):
        mean_with_interval([])


def test_a_size_on_an_edge_belongs_to_the_class_above() -> None:
    assert BY_DIAMETER.group([4.9, 5.0, 8.0, 14.9, 15.0]) == [0, 1, 2, 2, 3]
    assert BY_VOLUME.names == ["below 27 mm³", "27 to 100 mm³", "100 to 275 mm³", "275 mm³ and more"]
