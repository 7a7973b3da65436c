"""What an evaluation says: figures for each data set, as `report.json` and as the scores of a model card."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from metseg.card import Score
from metseg.errors import InputError
from metseg_trainer.evaluation import (
    LARGE_LESION_MM,
    CaseResult,
    Estimate,
    OperatingPoint,
    mean_with_interval,
    sensitivity_with_interval,
)

DICE = "mean Dice"
SENSITIVITY = f"share of lesions of {LARGE_LESION_MM:g} mm and more that are found"
FALSE_LESIONS = "false lesions a scan"

_SCORES = TypeAdapter(list[Score])
_POINT = TypeAdapter(OperatingPoint)


def score_results(dataset: str, results: Sequence[CaseResult], *, lesions: bool, command: str) -> list[Score]:
    """Sum up the cases of one data set.

    Args:
        dataset: Its name in the card.
        results: At least one.
        lesions: Whether to count lesions too, which wants volumes.
        command: What makes these figures again.
    """
    estimates: list[tuple[str, Estimate]] = [(DICE, mean_with_interval([result.dice for result in results]))]
    classes: dict[str, list[float]] = defaultdict(list)
    for result in results:
        if result.label:
            classes[result.label].append(result.dice)
    if len(classes) > 1:
        estimates += [(f"{DICE}, {label}", mean_with_interval(classes[label])) for label in sorted(classes)]
    if lesions:
        sensitivity = sensitivity_with_interval(results)
        if sensitivity is not None:
            estimates.append((SENSITIVITY, sensitivity))
        estimates.append((FALSE_LESIONS, mean_with_interval([float(result.false_lesions) for result in results])))
    return [
        Score(
            dataset=dataset,
            metric=metric,
            value=round(estimate.value, 4),
            low=round(estimate.low, 4),
            high=round(estimate.high, 4),
            cases=estimate.cases,
            command=command,
        )
        for metric, estimate in estimates
    ]


def write_report(
    path: Path, point: OperatingPoint, scores: Sequence[Score], results: Sequence[CaseResult]
) -> None:
    """Write scores and every case's result."""
    content: dict[str, Any] = {
        "operating_point": asdict(point),
        "scores": _SCORES.dump_python(list(scores), mode="json"),
        "cases": [asdict(result) for result in results],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_report(path: Path) -> tuple[OperatingPoint, list[Score]]:
    """Read what a model card needs of a report.

    Raises:
        InputError: The file is no report.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return _POINT.validate_python(content["operating_point"]), _SCORES.validate_python(content["scores"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as exc:
        raise InputError(f"{path} is no report of metseg-train evaluate.") from exc
