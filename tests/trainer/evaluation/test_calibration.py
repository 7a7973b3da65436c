"""The fit of the confidence: on made-up lesions whose answer is known, and on scans of made-up lesions."""

from dataclasses import replace

import numpy as np
import pytest
from phantoms import card
from seen_cases import ball, seen

from metseg.lesions.confidence import DEFINITIONS, confidence_of, features_of
from metseg.lesions.find import LesionRules, find_lesions
from metseg.schemas.report import Lesion
from metseg_trainer.evaluation.calibration import (
    FEWEST,
    JudgedLesion,
    calibrate,
    calibration_error,
    fit_logistic,
    judge_lesions,
)
from metseg_trainer.evaluation.cases import OperatingPoint, SeenCase

POINT = OperatingPoint(0.5, 20.0, 0)


def drawn(lesions: int, *, intercept: float, weights: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Features and outcomes of lesions that follow a known curve over standardised features."""
    rng = np.random.default_rng(7)
    features = rng.normal((2, 1, 0.9), (0.5, 0.8, 0.04), (lesions, 3))
    standard = (features - (2, 1, 0.9)) / (0.5, 0.8, 0.04)
    chance = 1 / (1 + np.exp(-(intercept + standard @ weights)))
    return features, (rng.random(lesions) < chance).astype(float)


def judged(features: np.ndarray, outcomes: np.ndarray, patients: int) -> list[JudgedLesion]:
    return [
        JudgedLesion(f"patient {number % patients}", tuple(values), bool(outcome))
        for number, (values, outcome) in enumerate(zip(features.tolist(), outcomes, strict=True))
    ]


def _lesion(diameter_mm: float, slices: int, probability: float) -> Lesion:
    return Lesion(
        label=1,
        voxels=1,
        equivalent_sphere_mm=diameter_mm,
        slices_spanned=slices,
        mean_probability=probability,
        slice_axis=2,
        slice_index=0,
    )


def test_a_fit_of_many_lesions_finds_the_curve_they_follow() -> None:
    found = fit_logistic(*drawn(20_000, intercept=-0.5, weights=(1.2, 0.4, 0.8)))
    assert found.intercept == pytest.approx(-0.5, abs=0.06)
    np.testing.assert_allclose(found.weights, (1.2, 0.4, 0.8), atol=0.06)
    np.testing.assert_allclose(found.mean, (2, 1, 0.9), atol=0.02)


def test_a_fit_is_where_the_slope_of_its_loss_is_zero() -> None:
    features, outcomes = drawn(200, intercept=0.3, weights=(0.8, 0.6, 1.0))
    found = fit_logistic(features, outcomes)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    amiss = found.predict(features) - outcomes
    assert amiss.sum() == pytest.approx(0, abs=1e-4)
    np.testing.assert_allclose(standard.T @ amiss + found.weights, 0, atol=1e-4)


def test_a_feature_that_speaks_against_lesions_is_given_no_weight() -> None:
    features, outcomes = drawn(2000, intercept=0, weights=(1.0, -1.0, 0.5))
    weights = fit_logistic(features, outcomes).weights
    assert weights[1] == 0
    assert weights[0] > 0.5


def test_a_feature_that_is_always_the_same_does_no_harm() -> None:
    features, outcomes = drawn(200, intercept=0, weights=(1.0, 0.5, 0.5))
    features[:, 1] = 0.7
    found = fit_logistic(features, outcomes)
    assert found.sd[1] == 1
    assert found.weights[1] == pytest.approx(0, abs=1e-9)


def test_few_lesions_parted_without_a_fault_give_no_certainty() -> None:
    features = np.column_stack([np.arange(20.0), np.zeros(20), np.zeros(20)])
    told = fit_logistic(features, (np.arange(20) >= 10).astype(float)).predict(features)
    assert told.min() > 0.01
    assert told.max() < 0.99


def test_the_calibration_error_is_the_distance_of_groups_from_their_share() -> None:
    told = np.repeat((0.1, 0.3, 0.5, 0.7, 0.9), 10)
    outcomes = np.concatenate([np.arange(10) < true for true in (1, 3, 5, 7, 9)]).astype(float)
    assert calibration_error(told, outcomes) == pytest.approx(0)
    assert calibration_error(told, np.ones(50)) == pytest.approx(0.5)
    assert calibration_error(np.full(50, 0.4), np.zeros(50)) == pytest.approx(0.4)


def test_what_stands_in_the_card_tells_what_was_fitted() -> None:
    features, outcomes = drawn(60, intercept=0, weights=(1.0, 0.7, 0.9))
    fitted = calibrate({"phantom": judged(features, outcomes, 10)}, 0.5)
    assert fitted is not None
    assert (fitted.lesions, fitted.true_lesions, fitted.patients) == (60, int(outcomes.sum()), 10)
    assert [part.name for part in fitted.features] == list(DEFINITIONS)
    assert fitted.measured_on == "lesions of validation cases: 60 of phantom"
    curve = fit_logistic(features, outcomes)
    for diameter, slices, probability in ((3.0, 1, 0.7), (7.0, 3, 0.9), (11.0, 6, 0.95), (40.0, 30, 1.0)):
        lesion = _lesion(diameter, slices, probability)
        known = np.array([[np.log(diameter), np.log(slices), probability]])
        assert confidence_of(lesion, fitted) == pytest.approx(curve.predict(known)[0], abs=1e-4)


def test_the_scores_are_those_of_patients_who_were_left_out() -> None:
    features, outcomes = drawn(60, intercept=0, weights=(1.0, 0.7, 0.9))
    fitted = calibrate({"one": judged(features, outcomes, 6)}, 0.5)
    assert fitted is not None
    owners = np.arange(60) % 6
    amiss, of_share = np.zeros(60), np.zeros(60)
    for patient in range(6):
        here = owners == patient
        told = fit_logistic(features[~here], outcomes[~here]).predict(features[here])
        amiss[here] = told - outcomes[here]
        of_share[here] = outcomes[~here].mean() - outcomes[here]
    assert fitted.brier == pytest.approx(np.mean(amiss**2), abs=1e-4)
    assert fitted.brier_of_share == pytest.approx(np.mean(of_share**2), abs=1e-4)
    assert fitted.brier < fitted.brier_of_share
    assert fitted.brier_low is not None
    assert fitted.brier_high is not None
    assert fitted.brier_low < fitted.brier < fitted.brier_high


def test_patients_of_the_same_name_in_two_sets_are_two() -> None:
    features, outcomes = drawn(60, intercept=0, weights=(1.0, 0.7, 0.9))
    half = judged(features, outcomes, 5)
    fitted = calibrate({"one": half[:30], "other": half[30:], "none": []}, 0.5)
    assert fitted is not None
    assert fitted.patients == 10
    assert fitted.measured_on == "lesions of validation cases: 30 of one, 30 of other"


def test_too_few_lesions_give_no_confidence() -> None:
    features, _ = drawn(100, intercept=0, weights=(1.0, 0.7, 0.9))
    few = (np.arange(100) < FEWEST - 1).astype(float)
    enough = (np.arange(100) < FEWEST).astype(float)
    assert calibrate({"one": judged(features, few, 7)}, 0.5) is None
    assert calibrate({"one": judged(features, 1 - few, 7)}, 0.5) is None
    assert calibrate({"one": judged(features, enough, 7)}, 0.5) is not None
    assert calibrate({"one": []}, 0.5) is None


def test_one_patient_with_all_true_lesions_gives_no_confidence() -> None:
    features, outcomes = drawn(60, intercept=0, weights=(1.0, 0.7, 0.9))
    alone = [replace(one, patient="A" if one.is_true else one.patient) for one in judged(features, outcomes, 6)]
    assert calibrate({"one": alone}, 0.5) is None


def scan_of_three() -> SeenCase:
    """A lesion that is found, one that is not there, one at the border, and a speck below the smallest lesion."""
    truth = np.zeros((60, 40, 20), np.uint16)
    truth[ball(truth.shape, (12, 12, 10), 5)] = 1
    probability = 0.9 * ball(truth.shape, (14, 12, 10), 5)
    probability += 0.7 * ball(truth.shape, (45, 28, 10), 3)
    probability += 0.8 * ball(truth.shape, (59, 10, 10), 3)
    probability[5, 35, 5] = 0.8
    return seen(truth, probability)


def test_lesions_are_judged_with_the_features_that_the_worker_knows_of_them() -> None:
    case = scan_of_three()
    lesions = judge_lesions(case, POINT)
    assert [lesion.is_true for lesion in lesions] == [True, False]
    rules = LesionRules(POINT.min_lesion_mm3)
    found, _ = find_lesions(case.truth.with_array(case.probability >= 0.5), case.probability, rules)
    known = [features_of(lesion) for lesion in found if not lesion.touches_border]
    assert [lesion.features for lesion in lesions] == [tuple(one.values()) for one in known if one is not None]


def test_a_lesion_that_lies_beside_the_truth_is_not_a_true_one() -> None:
    truth = np.zeros((60, 40, 20), np.uint16)
    truth[10:15, 10:15, 8:12] = 1
    probability = np.zeros(truth.shape)
    probability[15:20, 10:15, 8:12] = 0.9
    assert [lesion.is_true for lesion in judge_lesions(seen(truth, probability), POINT)] == [False]
    probability[14] = probability[15]
    assert [lesion.is_true for lesion in judge_lesions(seen(truth, probability), POINT)] == [True]


def test_a_picture_has_nothing_to_calibrate_with() -> None:
    case = scan_of_three()
    flat = seen(case.truth.array[:, :, 10:11], case.probability[:, :, 10:11], picture=True)
    assert judge_lesions(flat, POINT) == []


def test_a_card_can_hold_what_was_fitted() -> None:
    features, outcomes = drawn(60, intercept=0, weights=(1.0, 0.7, 0.9))
    fitted = calibrate({"one": judged(features, outcomes, 6)}, 0.5)
    assert fitted is not None
    known = card(confidence=[fitted])
    assert type(known).model_validate_json(known.model_dump_json()) == known
