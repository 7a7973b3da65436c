"""Where a model goes wrong, said in sentences from its results."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from metseg_trainer.evaluation.cases import CaseResult
from metseg_trainer.evaluation.scores import SetFindings

POOR_DICE = 0.2


def describe_failures(findings: SetFindings) -> list[str]:
    """List what went wrong on one data set; an empty list where nothing did."""
    results = findings.results
    lines = [_poor_cases(results), _weakest_class(results), _missed(findings), _false(findings)]
    return [f"{findings.name}: {line}" for line in lines if line]


def _poor_cases(results: Sequence[CaseResult]) -> str | None:
    poor = [result for result in results if result.dice < POOR_DICE]
    if not poor:
        return None
    blank = sum(result.is_blank for result in poor)
    told = f"{len(poor)} of {len(results)} cases have a Dice below {POOR_DICE:g}"
    return f"{told}; in {blank} of them nothing was marked."


def _weakest_class(results: Sequence[CaseResult]) -> str | None:
    classes: dict[str, list[float]] = defaultdict(list)
    for result in results:
        if result.label:
            classes[result.label].append(result.dice)
    if len(classes) < 2:
        return None
    means = {label: float(np.mean(values)) for label, values in classes.items()}
    weakest, best = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    return f"{weakest} is the weakest class (mean Dice {means[weakest]:.2f}; {best} {means[best]:.2f})."


def _missed(findings: SetFindings) -> str | None:
    lesions = [lesion for result in findings.results for lesion in result.lesionwise.lesions]
    missed = [lesion for lesion in lesions if not lesion.found]
    if not missed:
        return None
    told = f"{len(missed)} of {len(lesions)} lesions were missed"
    if not findings.volumes:
        return f"{told}."
    diameters = [lesion.diameter_mm for lesion in missed]
    return f"{told}, of {np.median(diameters):.1f} mm in the median and {max(diameters):.1f} mm at most."


def _false(findings: SetFindings) -> str | None:
    counts = [result.lesionwise.false_lesions for result in findings.results]
    if not sum(counts):
        return None
    kind = "scans" if findings.volumes else "pictures"
    told = f"{sum(counts)} false lesions in {np.count_nonzero(counts)} of {len(counts)} {kind}"
    return f"{told}, at most {max(counts)} in one."
