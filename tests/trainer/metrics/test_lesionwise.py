import json
import math
from pathlib import Path

import numpy as np
import pytest
from mask_pairs import make_mask_pair

from metseg_trainer.metrics.detection import curve_point, list_parts
from metseg_trainer.metrics.lesionwise import (
    METS_2023,
    METS_2024,
    LesionwiseRules,
    find_true_lesions,
    lesionwise,
)
from metseg_trainer.metrics.overlap import overlap
from metseg_trainer.metrics.surface import compare_surfaces

UNIT = (1.0, 1.0, 1.0)
EXPECTED = json.loads((Path(__file__).parent / "data" / "lesionwise_expected.json").read_text())


def _boxes(*corners: tuple[int, int, int], side: int = 4) -> np.ndarray:
    mask = np.zeros((40, 24, 16), bool)
    for x, y, z in corners:
        mask[x : x + side, y : y + side, z : z + side] = True
    return mask


NOTHING = _boxes()
ONE = _boxes((4, 4, 4))
TWO = _boxes((4, 4, 4), (20, 10, 6))


@pytest.fixture(scope="module")
def pairs() -> list[tuple[dict, tuple]]:
    """The committed figures, each with its masks."""
    found = [(row, make_mask_pair(row["seed"])) for row in EXPECTED["pairs"]]
    for row, (truth, predicted, _) in found:
        assert [int(truth.sum()), int(predicted.sum())] == row["voxels"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("edition", "rules"), [("mets_2023", METS_2023), ("mets_2024", METS_2024)])
def test_lesionwise_figures_are_those_of_the_organisers_code(pairs, edition: str, rules: LesionwiseRules) -> None:
    for row, (truth, predicted, spacing) in pairs:
        result = lesionwise(truth, predicted, spacing, rules)
        missed = len(result.lesions) - result.found
        got = [result.found, result.false_lesions, missed, result.dice, result.hd95]
        np.testing.assert_allclose(got, row[edition], rtol=0, atol=1e-6, err_msg=f"seed {row['seed']}")


@pytest.mark.slow
def test_voxel_and_surface_figures_are_those_of_public_code(pairs) -> None:
    assert len(pairs) >= 200
    for row, (truth, predicted, spacing) in pairs:
        surfaces, voxels = compare_surfaces(truth, predicted, spacing), overlap(truth, predicted)
        hd95 = METS_2023.penalty_mm if math.isinf(surfaces.hausdorff95) else surfaces.hausdorff95
        got = [voxels.dice, voxels.recall, hd95, surfaces.dice_within(1.0)]
        np.testing.assert_allclose(got, row["voxelwise"], rtol=0, atol=1e-6, err_msg=f"seed {row['seed']}")


def test_two_empty_masks_are_perfect() -> None:
    result = lesionwise(NOTHING, NOTHING, UNIT)
    assert (result.dice, result.f1, result.hd95) == (1, 1, 0)
    assert result.sensitivity is None
    assert result.precision is None


def test_a_prediction_without_truth_is_false_and_a_truth_without_prediction_is_missed() -> None:
    false, missed = lesionwise(NOTHING, TWO, UNIT), lesionwise(TWO, NOTHING, UNIT)
    assert (false.dice, false.f1, false.hd95, false.false_lesions) == (0, 0, 374, 2)
    assert false.sensitivity is None
    assert false.precision == 0
    assert (missed.dice, missed.f1, missed.hd95, missed.sensitivity) == (0, 0, 374, 0)
    assert missed.precision is None


def test_identical_masks_are_perfect() -> None:
    result = lesionwise(TWO, TWO, UNIT)
    assert (result.dice, result.f1, result.hd95, result.sensitivity, result.precision) == (1, 1, 0, 1, 1)


def test_each_lesion_weighs_the_same_and_a_false_one_as_much() -> None:
    result = lesionwise(TWO, _boxes((5, 4, 4), (32, 2, 2)), UNIT)
    assert [lesion.dice for lesion in result.lesions] == [pytest.approx(0.75), 0]
    assert result.dice == pytest.approx(0.75 / 3)
    assert result.hd95 == pytest.approx((1 + 374 + 374) / 3)
    assert (result.sensitivity, result.precision, result.f1) == (0.5, 0.5, 0.5)


def test_distances_and_volumes_follow_an_anisotropic_spacing() -> None:
    result = lesionwise(ONE, _boxes((4, 4, 5)), (0.5, 0.5, 3.0))
    assert result.hd95 == pytest.approx(3)
    assert result.lesions[0].volume_mm3 == pytest.approx(64 * 0.75)
    assert result.lesions[0].diameter_mm == pytest.approx((6 * 48 / math.pi) ** (1 / 3))


def test_parts_a_voxel_apart_are_one_lesion_and_parts_three_apart_are_two() -> None:
    near, far = _boxes((4, 4, 4), (10, 4, 4)), _boxes((4, 4, 4), (11, 4, 4))
    assert len(lesionwise(near, NOTHING, UNIT).lesions) == 1
    assert len(lesionwise(far, NOTHING, UNIT).lesions) == 2


def test_a_prediction_beside_a_lesion_belongs_to_it_but_not_across_a_corner() -> None:
    beside, corner = _boxes((8, 4, 4)), _boxes((8, 8, 8))
    assert lesionwise(ONE, beside, UNIT).false_lesions == 0
    assert lesionwise(ONE, corner, UNIT).false_lesions == 1


def test_one_prediction_may_find_two_lesions() -> None:
    bridge = _boxes((4, 4, 4), (20, 10, 6))
    bridge[4:24, 7, 7] = True
    bridge[23, 7:11, 7] = True
    result = lesionwise(TWO, bridge, UNIT)
    assert result.sensitivity == 1
    assert result.precision == 1


def test_a_lesion_of_two_cubic_millimetres_does_not_count_and_what_touches_it_is_not_false() -> None:
    speck = np.zeros_like(ONE)
    speck[30, 10, 6:8] = True
    assert lesionwise(ONE | speck, ONE, UNIT).dice == 1
    assert lesionwise(ONE | speck, ONE | speck, UNIT).false_lesions == 0
    assert lesionwise(ONE | speck, ONE, (1.0, 1.0, 1.01)).dice == 0.5


def test_counts_at_a_smallest_lesion_are_those_of_the_mask_without_the_smaller_parts() -> None:
    predicted = _boxes((5, 4, 4), (32, 2, 2))
    predicted[0, 20, 12] = True
    parts = list_parts(find_true_lesions(TWO, UNIT), predicted)
    everything, large, none = (parts.detect(smallest) for smallest in (0, 2, 65))
    assert (everything.found, everything.false_lesions) == (1, 2)
    assert (large.found, large.false_lesions) == (1, 1)
    assert (none.found, none.false_lesions, none.dice) == (0, 0, 0)
    predicted[0, 20, 12] = False
    assert large.dice == pytest.approx(overlap(TWO, predicted).dice)


def test_lesions_below_a_diameter_are_neither_missed_nor_what_touches_them_false() -> None:
    truth, small = ONE.copy(), _boxes((30, 10, 6), side=2)
    detected = list_parts(find_true_lesions(truth | small, UNIT), truth | small).detect(lesion_from_mm=3)
    missed = list_parts(find_true_lesions(truth | small, UNIT), truth).detect(lesion_from_mm=3)
    for counts in (detected, missed):
        assert (counts.lesions, counts.found, counts.false_lesions) == (1, 1, 0)


def test_a_point_of_the_curve_pools_lesions_and_averages_false_ones() -> None:
    lesions = find_true_lesions(TWO, UNIT)
    cases = [list_parts(lesions, mask).detect() for mask in (TWO, NOTHING, _boxes((4, 4, 4), (32, 2, 2)))]
    point = curve_point(0.5, cases)
    assert point.sensitivity == pytest.approx(3 / 6)
    assert point.false_lesions == pytest.approx(1 / 3)
    assert curve_point(0.5, [list_parts(find_true_lesions(NOTHING, UNIT), ONE).detect()]).sensitivity is None
