"""How often a lesion that is found is a true one: fitted on validation cases, told in the card.

Few lesions are there to learn from, so the model is small: three features, a logistic curve, weights that are
drawn to zero and never negative. How well it is calibrated is measured on lesions of patients left out of the fit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from metseg.lesions.confidence import DEFINITIONS, features_of
from metseg.lesions.find import LesionRules, find_lesions
from metseg.schemas.model_card import ConfidenceFeature, LesionConfidence
from metseg_trainer.evaluation.cases import OperatingPoint, SeenCase
from metseg_trainer.metrics.bootstrap import mean_with_interval

RIDGE = 1.0
"""Weights are drawn to zero as by a normal prior of standard deviation 1, on features of standard deviation 1."""

FEWEST = 10
"""True lesions, and false ones, below which nothing is fitted."""

BINS = 5
"""Groups of equally many lesions, by rising confidence, over which the calibration error is taken."""

SMALLEST_SPREAD = 1e-4
"""A feature that varies less says nothing."""

DIGITS = 6
"""Of the numbers of the fit, as the card has them."""

RULE = (
    "A lesion found at this threshold and the card's smallest lesion is true when it touches a lesion of the "
    "truth. Logistic regression on standardised features, weights of 0 or more with a penalty of "
    f"{RIDGE / 2:g} times the sum of their squares, intercept free. Pictures and lesions at the border of the "
    "image are left out and get no confidence. Scores leave one patient out at a time; the calibration error is "
    f"the mean distance of confidence and share of true lesions over {BINS} groups of equally many lesions."
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class JudgedLesion:
    """A lesion that the worker would find in a validation scan.

    Attributes:
        patient: Whose it is.
        features: In the order of `DEFINITIONS`.
        is_true: Whether it touches a lesion of the truth.
    """

    patient: str
    features: tuple[float, ...]
    is_true: bool


@dataclass(frozen=True, eq=False)
class Logistic:
    """A logistic curve over standardised features.

    Attributes:
        intercept: Log odds of a lesion of mean features.
        mean: (features,) of the lesions it was fitted on.
        sd: (features,) the same; 1 where all are as good as alike.
        low: (features,) least of these lesions; what lies below counts as this.
        high: (features,) the same for the most.
        weights: (features,) log odds by standard deviation, 0 or more.
    """

    intercept: float
    mean: Floats
    sd: Floats
    low: Floats
    high: Floats
    weights: Floats

    def predict(self, features: Floats) -> Floats:
        """Return the probability for (lesions, features), as (lesions,)."""
        standard = (np.clip(features, self.low, self.high) - self.mean) / self.sd
        return np.asarray(expit(self.intercept + standard @ self.weights))

    def for_card(self) -> list[ConfidenceFeature]:
        """Write the features down as a model card has them."""
        return [
            ConfidenceFeature(
                name=name,
                definition=DEFINITIONS[name],
                **{
                    field: round(float(values[index]), DIGITS)
                    for field, values in (
                        ("mean", self.mean),
                        ("sd", self.sd),
                        ("low", self.low),
                        ("high", self.high),
                        ("weight", self.weights),
                    )
                },
            )
            for index, name in enumerate(DEFINITIONS)
        ]


def judge_lesions(seen: SeenCase, point: OperatingPoint) -> list[JudgedLesion]:
    """Judge what the worker would find in a scan at a point; what gets no confidence is left out."""
    rules = LesionRules(point.min_lesion_mm3, point.min_lesion_px, seen.is_picture, seen.has_spacing)
    over = seen.truth.with_array(seen.probability >= point.threshold)
    lesions, labels = find_lesions(over, seen.probability, rules)
    touching = set(np.unique(labels[seen.truth.array > 0]).tolist())
    return [
        JudgedLesion(seen.case.patient, tuple(known[name] for name in DEFINITIONS), lesion.label in touching)
        for lesion in lesions
        if (known := features_of(lesion)) is not None
    ]


def calibrate(sets: Mapping[str, Sequence[JudgedLesion]], threshold: float) -> LesionConfidence | None:
    """Fit the confidence of lesions found at a threshold.

    Args:
        sets: By data set; two sets share no patient.
        threshold: At which they were found.

    Returns:
        None where there are fewer than `FEWEST` true or false lesions, or where one patient has all of either.
    """
    lesions = [replace(one, patient=f"{name}/{one.patient}") for name, found in sets.items() for one in found]
    if not _are_enough(lesions):
        return None
    features = np.array([lesion.features for lesion in lesions])
    outcomes = np.array([float(lesion.is_true) for lesion in lesions])
    patients = [lesion.patient for lesion in lesions]
    fitted = fit_logistic(features, outcomes)
    told, share = _left_out(features, outcomes, patients)
    brier = mean_with_interval(((told - outcomes) ** 2).tolist(), patients)
    return LesionConfidence(
        threshold=threshold,
        intercept=round(fitted.intercept, DIGITS),
        features=fitted.for_card(),
        rule=RULE,
        lesions=len(lesions),
        true_lesions=int(outcomes.sum()),
        patients=len(set(patients)),
        brier=round(brier.value, 4),
        brier_low=None if brier.low is None else round(brier.low, 4),
        brier_high=None if brier.high is None else round(brier.high, 4),
        brier_of_share=round(float(np.mean((share - outcomes) ** 2)), 4),
        calibration_error=round(calibration_error(told, outcomes), 4),
        measured_on="lesions of validation cases: "
        + ", ".join(f"{len(found)} of {name}" for name, found in sets.items() if found),
    )


def fit_logistic(features: Floats, outcomes: Floats) -> Logistic:
    """Fit a logistic curve with weights of 0 or more, drawn to zero by `RIDGE`.

    Args:
        features: (lesions, features).
        outcomes: (lesions,) of 0 and 1, both of them there.
    """
    mean, spread = features.mean(axis=0), features.std(axis=0)
    sd = np.where(spread > SMALLEST_SPREAD, spread, 1.0)
    columns = np.column_stack([np.ones(len(features)), (features - mean) / sd])

    def loss(numbers: Floats) -> tuple[float, Floats]:
        odds, weights = columns @ numbers, np.append(0.0, numbers[1:])
        value = np.logaddexp(0, odds).sum() - outcomes @ odds + RIDGE / 2 * weights @ weights
        return float(value), columns.T @ (expit(odds) - outcomes) + RIDGE * weights

    bounds = [(None, None), *[(0, None)] * features.shape[1]]
    found = minimize(loss, np.zeros(columns.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-12)
    return Logistic(float(found.x[0]), mean, sd, features.min(axis=0), features.max(axis=0), found.x[1:])


def calibration_error(told: Floats, outcomes: Floats) -> float:
    """Return the mean distance of confidence and share of true lesions, over `BINS` groups weighted by their size.

    Args:
        told: (lesions,) confidence; at least one.
        outcomes: (lesions,) of 0 and 1.
    """
    order = np.argsort(told, kind="stable")
    groups = [group for group in np.array_split(order, BINS) if len(group)]
    return float(sum(abs((told[group] - outcomes[group]).sum()) for group in groups) / len(told))


def _are_enough(lesions: Sequence[JudgedLesion]) -> bool:
    for wanted in (True, False):
        owners = [lesion.patient for lesion in lesions if lesion.is_true == wanted]
        if len(owners) < FEWEST or len(set(owners)) < 2:
            return False
    return True


def _left_out(features: Floats, outcomes: Floats, patients: Sequence[str]) -> tuple[Floats, Floats]:
    """Return each lesion's probability by a fit, and by the mere share, on the lesions of all other patients."""
    told, share = np.zeros(len(outcomes)), np.zeros(len(outcomes))
    for patient in set(patients):
        here = np.array([owner == patient for owner in patients])
        told[here] = fit_logistic(features[~here], outcomes[~here]).predict(features[here])
        share[here] = outcomes[~here].mean()
    return told, share
