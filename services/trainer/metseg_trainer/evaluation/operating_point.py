"""Choosing two operating points on validation cases: one to plan by, one to screen by.

Both share the smallest lesion, so that a user comes from one to the other by the threshold alone. A case is tried
at every candidate while it is in memory (`try_points`); the choice is made from the counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from metseg.schemas.model_card import LesionConfidence, MeasuredPoint
from metseg_trainer.evaluation.cases import OperatingPoint, SeenCase, parts_by_threshold, smallest_voxels
from metseg_trainer.metrics.detection import CurvePoint, Detection, curve_point

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
SMALLEST_MM3 = (0.0, 15.0, 30.0, 60.0)
SMALLEST_PX = (0, 20, 40, 80)

MOST_FALSE_LESIONS = 2.0
"""What either point may cost: false lesions a scan that a reader has to reject."""

PointName = Literal["screening", "planning"]

RULES: Mapping[PointName, str] = MappingProxyType(
    {
        "screening": f"Most lesions found with at most {MOST_FALSE_LESIONS:g} false lesions a scan.",
        "planning": "Best sum over the data sets of the mean Dice, with at most "
        f"{MOST_FALSE_LESIONS:g} false lesions a scan.",
    }
)


@dataclass(frozen=True)
class TriedCase:
    """One case at every candidate.

    Attributes:
        is_picture: One slice of no known place; its smallest lesion counts pixels.
        counts: By threshold and smallest lesion (mm³, or pixels of a picture).
    """

    is_picture: bool
    counts: Mapping[tuple[float, float], Detection]


@dataclass(frozen=True)
class ChosenPoints:
    """The point that a card takes, and both with what they find.

    Attributes:
        point: Planning's.
        measured: Screening first.
        confidence: Of lesions found at each threshold where there were enough to fit one.
    """

    point: OperatingPoint
    measured: tuple[MeasuredPoint, ...]
    confidence: tuple[LesionConfidence, ...] = ()

    @property
    def thresholds(self) -> list[float]:
        """That of the card, then those of other measured points."""
        return list(dict.fromkeys([self.point.threshold, *(one.threshold for one in self.measured)]))

    @property
    def screening(self) -> OperatingPoint:
        """Screening's, or planning's where no points were chosen."""
        thresholds = [one.threshold for one in self.measured if one.name == "screening"]
        return replace(self.point, threshold=thresholds[0]) if thresholds else self.point


def try_points(seen: SeenCase) -> TriedCase:
    """Count what a case gives at every candidate."""
    counts = {}
    for threshold, parts in parts_by_threshold(seen, THRESHOLDS).items():
        for smallest in SMALLEST_PX if seen.is_picture else SMALLEST_MM3:
            voxels = smallest_voxels(seen, OperatingPoint(threshold, smallest, int(smallest)))
            counts[threshold, smallest] = parts.detect(voxels)
    return TriedCase(seen.is_picture, counts)


def choose_points(sets: Mapping[str, Sequence[TriedCase]]) -> ChosenPoints:
    """Choose both points on validation cases.

    Planning (`RULES`) sets the smallest lesions; among equals the lower threshold and the smaller lesion win, and
    where nothing keeps to the limit the best is taken all the same. Screening is never above planning, and counts
    volumes, or pictures where there are none; among equals the one with fewer false lesions wins, and where no
    threshold keeps to the limit the one with the fewest.
    """
    point = _choose_planning(list(sets.values()))
    scans = {name: _of_kind(cases, is_picture=False) for name, cases in sets.items()}
    scans = {name: cases for name, cases in scans.items() if cases} or {
        n: list(cases) for n, cases in sets.items()
    }
    pooled = [case for cases in scans.values() for case in cases]
    measured_on = f"validation cases: {', '.join(scans)}"
    curve = [curve_point(threshold, _detections(pooled, threshold, point)) for threshold in THRESHOLDS]
    below = [one for one in curve if one.threshold <= point.threshold]
    within = [one for one in below if one.false_lesions <= MOST_FALSE_LESIONS]
    if within:
        screening = max(within, key=lambda one: (one.sensitivity or 0.0, -one.false_lesions, one.threshold))
    else:
        screening = min(below, key=lambda one: one.false_lesions)
    planning = next(one for one in curve if one.threshold == point.threshold)
    return ChosenPoints(
        point,
        (
            _measured("screening", screening, _detections(pooled, screening.threshold, point), measured_on),
            _measured("planning", planning, _detections(pooled, planning.threshold, point), measured_on),
        ),
    )


def _measured(
    name: PointName, reached: CurvePoint, detections: Sequence[Detection], measured_on: str
) -> MeasuredPoint:
    return MeasuredPoint(
        name=name,
        rule=RULES[name],
        threshold=reached.threshold,
        sensitivity=None if reached.sensitivity is None else round(reached.sensitivity, 4),
        false_lesions_per_scan=round(reached.false_lesions, 4),
        mean_dice=round(float(np.mean([detection.dice for detection in detections])), 4),
        scans=len(detections),
        measured_on=measured_on,
    )


def _choose_planning(sets: Sequence[Sequence[TriedCase]]) -> OperatingPoint:
    pictures = [kept for cases in sets if (kept := _of_kind(cases, is_picture=True))]
    volumes = [kept for cases in sets if (kept := _of_kind(cases, is_picture=False))]
    scans = [case for cases in volumes for case in cases]
    tried: list[tuple[bool, float, OperatingPoint]] = []
    for threshold in THRESHOLDS:
        px, px_worth = _best_smallest(pictures, threshold, SMALLEST_PX)
        mm3, mm3_worth = _best_smallest(volumes, threshold, SMALLEST_MM3)
        point = OperatingPoint(threshold, mm3, int(px))
        false = sum(detection.false_lesions for detection in _detections(scans, threshold, point))
        within = false <= MOST_FALSE_LESIONS * len(scans)
        tried.append((within, round(px_worth + mm3_worth, 9), point))
    return max(tried, key=lambda one: one[:2])[2]


def _best_smallest(
    sets: Sequence[Sequence[TriedCase]], threshold: float, smallest: Sequence[float]
) -> tuple[float, float]:
    """Return the smallest lesion that is worth most, and its worth summed over sets of one kind."""
    worths = [sum(_worth(cases, threshold, one) for cases in sets) for one in smallest]
    chosen = int(np.argmax(worths))
    return smallest[chosen], worths[chosen]


def _worth(cases: Sequence[TriedCase], threshold: float, smallest: float) -> float:
    return float(np.mean([case.counts[threshold, smallest].dice for case in cases]))


def _detections(cases: Sequence[TriedCase], threshold: float, point: OperatingPoint) -> list[Detection]:
    return [
        case.counts[threshold, point.min_lesion_px if case.is_picture else point.min_lesion_mm3] for case in cases
    ]


def _of_kind(cases: Sequence[TriedCase], *, is_picture: bool) -> list[TriedCase]:
    return [case for case in cases if case.is_picture == is_picture]
