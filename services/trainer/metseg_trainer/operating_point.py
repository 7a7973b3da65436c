"""Choosing the threshold and the smallest lesion on validation cases."""

from collections.abc import Mapping, Sequence

import numpy as np

from metseg_trainer.evaluation import OperatingPoint, SeenCase, judge, sensitivity_with_interval

THRESHOLDS = (0.3, 0.4, 0.5, 0.6)
SMALLEST_MM3 = (0.0, 15.0, 30.0, 60.0)
SMALLEST_PX = (0, 20, 40, 80)

FALSE_LESION_COST = 0.05
"""What one false lesion a scan weighs against the Dice coefficient and the share of lesions found."""


def choose_operating_point(sets: Mapping[str, Sequence[SeenCase]]) -> OperatingPoint:
    """Take the point with the best mean over the data sets.

    A set's worth is its mean Dice; for volumes, the share of large lesions that are found is added and each false
    lesion a scan costs `FALSE_LESION_COST`. Among equals the lower threshold and the smaller lesion win.
    """
    best: tuple[float, OperatingPoint] | None = None
    for threshold in THRESHOLDS:
        pictures = [cases for cases in sets.values() if all(seen.is_picture for seen in cases)]
        volumes = [cases for cases in sets.values() if not all(seen.is_picture for seen in cases)]
        px, px_worth = _best(pictures, [OperatingPoint(threshold, min_lesion_px=n) for n in SMALLEST_PX])
        mm3, mm3_worth = _best(volumes, [OperatingPoint(threshold, min_lesion_mm3=n) for n in SMALLEST_MM3])
        point = OperatingPoint(threshold, mm3.min_lesion_mm3, px.min_lesion_px)
        if best is None or px_worth + mm3_worth > best[0] + 1e-9:
            best = px_worth + mm3_worth, point
    if best is None:
        raise ValueError("expected at least one threshold")
    return best[1]


def _best(sets: Sequence[Sequence[SeenCase]], points: Sequence[OperatingPoint]) -> tuple[OperatingPoint, float]:
    worths = [sum(_worth(cases, point) for cases in sets) for point in points]
    chosen = int(np.argmax(worths))
    return points[chosen], worths[chosen]


def _worth(cases: Sequence[SeenCase], point: OperatingPoint) -> float:
    results = [judge(seen, point) for seen in cases]
    worth = float(np.mean([result.dice for result in results]))
    if cases[0].is_picture:
        return worth
    sensitivity = sensitivity_with_interval(results)
    found = 1.0 if sensitivity is None else sensitivity.value
    return worth + found - FALSE_LESION_COST * float(np.mean([result.false_lesions for result in results]))
