import numpy as np
import pytest
from seen_cases import ball, seen, two_balls

from metseg_trainer.evaluation.cases import judge
from metseg_trainer.evaluation.operating_point import THRESHOLDS, choose_points, try_points


@pytest.fixture(name="two_balls")
def _two_balls() -> tuple[np.ndarray, np.ndarray]:
    return two_balls()


def test_planning_trades_false_lesions_for_found_ones(two_balls: tuple[np.ndarray, np.ndarray]) -> None:
    chosen = choose_points({"volumes": [try_points(seen(*two_balls))]})
    result = judge(seen(*two_balls), chosen.point)
    assert result.numbered.found[0]
    assert result.numbered.false_lesions == 0
    assert chosen.point.min_lesion_px == 0


def test_screening_finds_more_at_the_same_smallest_lesion_and_keeps_to_its_limit() -> None:
    truth = np.zeros((60, 40, 20), np.uint16)
    for number, x in enumerate((8, 24, 40), start=1):
        truth[ball(truth.shape, (x, 10, 10), 4)] = number
    probability = 0.95 * (truth == 1) + 0.95 * (truth == 2) + 0.3 * (truth == 3)
    for x, y, value in ((8, 28, 0.3), (22, 28, 0.3), (36, 28, 0.15), (50, 28, 0.15)):
        probability[ball(truth.shape, (x, y, 10), 4)] = value
    screening, planning = choose_points({"scans": [try_points(seen(truth, probability))]}).measured
    assert (screening.name, planning.name) == ("screening", "planning")
    assert screening.threshold < planning.threshold
    assert (screening.sensitivity, screening.false_lesions_per_scan) == (1, 2)
    assert planning.sensitivity == pytest.approx(2 / 3, abs=1e-4)
    assert planning.false_lesions_per_scan == 0
    assert "scans" in screening.measured_on


def test_planning_keeps_to_the_same_limit_so_that_screening_never_finds_less() -> None:
    truth = np.zeros((100, 60, 20), np.uint16)
    for number in range(1, 7):
        truth[ball(truth.shape, (15 * number - 5, 10, 10), 4)] = number
    probability = np.where(truth == 1, 0.95, 0.3 * (truth > 1))
    for x in (10, 25, 40):
        probability[ball(truth.shape, (x, 40, 10), 4)] = 0.3
    screening, planning = choose_points({"scans": [try_points(seen(truth, probability))]}).measured
    assert planning.false_lesions_per_scan == 0
    assert screening.sensitivity is not None
    assert planning.sensitivity is not None
    assert screening.sensitivity >= planning.sensitivity


def test_pictures_and_volumes_of_one_set_each_have_their_smallest_lesion(
    two_balls: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, probability = two_balls
    picture = try_points(seen(truth[:, :, 10:11], probability[:, :, 10:11], picture=True))
    chosen = choose_points({"both": [picture, try_points(seen(truth, probability))]})
    assert chosen.point.threshold in THRESHOLDS
    assert chosen.measured[0].scans == 1


def test_screening_is_never_above_planning() -> None:
    truth = np.zeros((60, 60, 20), np.uint16)
    truth[ball(truth.shape, (15, 15, 10), 6)] = 1
    probability = 0.5 * ball(truth.shape, (15, 15, 10), 6)
    probability[ball(truth.shape, (15, 15, 10), 4)] = 0.95  # a higher threshold finds it too, but less of it
    probability[ball(truth.shape, (45, 45, 10), 3)] = 0.5
    screening, planning = choose_points({"scans": [try_points(seen(truth, probability))]}).measured
    assert planning.false_lesions_per_scan == 1
    assert screening == planning.model_copy(update={"name": "screening", "rule": screening.rule})
