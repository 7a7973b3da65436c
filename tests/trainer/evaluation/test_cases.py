import numpy as np
import pytest
from seen_cases import seen, two_balls

from metseg_trainer.evaluation.cases import (
    OperatingPoint,
    judge,
    parts_by_threshold,
    smallest_voxels,
)


@pytest.fixture(name="two_balls")
def _two_balls() -> tuple[np.ndarray, np.ndarray]:
    return two_balls()


def test_a_touched_lesion_is_found_and_what_touches_none_is_false(
    two_balls: tuple[np.ndarray, np.ndarray],
) -> None:
    result = judge(seen(*two_balls), OperatingPoint(0.5))
    assert result.numbered.found == (True, False)
    assert result.numbered.false_lesions == 2
    assert result.numbered.diameters_mm == pytest.approx((10, 4), rel=0.06)
    assert 0.6 < result.dice < 0.9
    assert (result.lesionwise.found, result.lesionwise.false_lesions) == (1, 2)


def test_threshold_and_smallest_lesion_remove_false_ones(two_balls: tuple[np.ndarray, np.ndarray]) -> None:
    assert judge(seen(*two_balls), OperatingPoint(0.7)).numbered.false_lesions == 1
    assert judge(seen(*two_balls), OperatingPoint(0.7, min_lesion_mm3=2)).numbered.false_lesions == 0
    assert judge(seen(*two_balls), OperatingPoint(0.95)).numbered.found == (False, False)


def test_counts_by_threshold_are_those_of_the_judged_case(two_balls: tuple[np.ndarray, np.ndarray]) -> None:
    case = seen(*two_balls, spacing=0.8)
    for threshold, smallest in ((0.5, 0.0), (0.7, 2.0), (0.95, 0.0)):
        point = OperatingPoint(threshold, smallest)
        result = judge(case, point)
        counts = parts_by_threshold(case, (0.3, threshold))[threshold].detect(smallest_voxels(case, point))
        assert counts.dice == pytest.approx(result.dice)
        assert counts.found == result.lesionwise.found
        assert counts.false_lesions == result.lesionwise.false_lesions


def test_a_picture_is_measured_in_pixels_and_has_no_millimetres() -> None:
    truth = np.zeros((40, 30, 1), np.uint16)
    truth[5:15, 5:15] = 1
    shifted = np.roll(truth, 3, axis=0)
    result = judge(seen(truth, 0.9 * shifted, spacing=7.0, picture=True), OperatingPoint())
    assert (result.unit, result.hd95, result.numbered.diameters_mm) == ("px", 3, ())
    missed = judge(seen(truth, 0 * shifted, picture=True), OperatingPoint())
    assert missed.hd95 == missed.lesionwise.hd95 == pytest.approx(50, abs=0.02)


@pytest.mark.parametrize("empty", ["truth", "prediction", "both"])
def test_a_case_without_truth_or_prediction_has_finite_figures(
    two_balls: tuple[np.ndarray, np.ndarray], empty: str
) -> None:
    truth, probability = (
        array * (empty not in (name, "both"))
        for name, array in zip(("truth", "prediction"), two_balls, strict=True)
    )
    result = judge(seen(truth, probability), OperatingPoint())
    assert result.dice == result.lesionwise.dice == (1 if empty == "both" else 0)
    assert result.hd95 == (0 if empty == "both" else 374)
    assert result.surface_dice == (1 if empty == "both" else 0)


def test_diameters_count_millimetres_and_not_voxels(two_balls: tuple[np.ndarray, np.ndarray]) -> None:
    single, double = (
        judge(seen(*two_balls, spacing=s), OperatingPoint()).numbered.diameters_mm for s in (1.0, 2.0)
    )
    assert double == pytest.approx([2 * diameter for diameter in single])
