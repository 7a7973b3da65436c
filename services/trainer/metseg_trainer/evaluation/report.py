"""What an evaluation leaves: `report.json` with every figure and case, and of these what a model card takes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from metseg.errors import InputError
from metseg.schemas.model_card import Evidence, LesionConfidence, MeasuredPoint, ModelCard, Score
from metseg_trainer.evaluation.cases import CaseResult, OperatingPoint
from metseg_trainer.evaluation.failures import describe_failures
from metseg_trainer.evaluation.known_lesions import known_document, known_scores
from metseg_trainer.evaluation.operating_point import ChosenPoints
from metseg_trainer.evaluation.scores import (
    DEFINITIONS,
    DICE,
    SIZE_CLASSES,
    SetFindings,
    by_size,
    headline,
    score_set,
    size_scores,
)

REPORT_SCHEMA_VERSION = 2

REFERENCE_STANDARD = (
    "The outlines that came with each data set, taken as they are: one reading a case, its readers and their "
    "agreement not known here; for synthetic scans the generator's own truth."
)
INTERVALS = (
    "95 %, percentile bootstrap over patients with all their cases (2,000 draws); a case whose patient is not "
    "named counts as a patient, which makes intervals of such sets too narrow."
)
KEPT_APART = (
    "The cases that the recipe keeps apart: no patient (no block of slices, where patients are not named) is both "
    "trained on and evaluated on. Scores of cases that served to choose the epoch or the operating point are a "
    "little too good; those of synthetic test scans are not."
)
OWN_CASES = "All cases of one folder; whether training has seen them is not known here."
NOT_TESTED = (
    "Agreement of several readers, and of the model with each.",
    "Other scanners, sites, sequences and populations than those of the data sets named.",
    "Repeated scans of one patient.",
    "Any effect on a reader or on care.",
)


@dataclass(frozen=True)
class CardFindings:
    """What a model card takes from a report.

    Attributes:
        point: Threshold and smallest lesion.
        scores: The main metric and a few beside it, by data set.
        operating_points: With their figures on validation cases.
        evidence: What the scores rest on.
        confidence: By threshold; reports written by earlier versions have none.
    """

    point: OperatingPoint
    scores: list[Score]
    operating_points: list[MeasuredPoint]
    evidence: Evidence
    confidence: list[LesionConfidence] = field(default_factory=list)

    def write_into(self, card: ModelCard) -> ModelCard:
        """Return the card with these findings in it."""
        return card.model_copy(
            update={
                "threshold": self.point.threshold,
                "min_lesion_mm3": self.point.min_lesion_mm3,
                "min_lesion_px": self.point.min_lesion_px,
                "scores": self.scores,
                "operating_points": self.operating_points,
                "confidence": self.confidence,
                "evidence": self.evidence,
            }
        )


@dataclass(frozen=True, eq=False)
class Report:
    """One evaluation.

    Attributes:
        points: Those of the card; everything is judged at the chosen one.
        sets: One a data set.
        command: What makes it again.
        partition: How these cases were kept from training.
    """

    points: ChosenPoints
    sets: Sequence[SetFindings]
    command: str
    partition: str = KEPT_APART

    @cached_property
    def scores(self) -> dict[str, list[Score]]:
        """Every figure of every data set."""
        return {findings.name: score_set(findings, self.command) for findings in self.sets}

    def for_card(self) -> CardFindings:
        """Take what a model card holds."""
        scores = [score for scores in self.scores.values() for score in scores if headline(score)]
        evidence = Evidence(
            main_metric=DICE,
            reference_standard=REFERENCE_STANDARD,
            partition=self.partition,
            definitions=[f"{name}: {text}" for name, text in DEFINITIONS.items()],
            intervals=INTERVALS,
            by_size=[score for findings in self.sets for score in size_scores(findings, self.command)],
            by_kind=[score for findings in self.sets for score in known_scores(findings, self.command)],
            failures=[line for findings in self.sets for line in describe_failures(findings)],
            not_tested=list(NOT_TESTED),
        )
        points = self.points
        return CardFindings(points.point, scores, list(points.measured), evidence, list(points.confidence))


_CARD_FINDINGS = TypeAdapter(CardFindings)
_SCORES = TypeAdapter(list[Score])


def write_report(path: Path, report: Report) -> None:
    """Write a report as JSON; infinite and missing values never stand in it, `null` does where mm are unknown."""
    content: dict[str, Any] = {
        "schema_version": REPORT_SCHEMA_VERSION,
        "research_use_only": True,
        "command": report.command,
        "card": _CARD_FINDINGS.dump_python(report.for_card(), mode="json"),
        "sets": {findings.name: _set_document(findings, report.scores[findings.name]) for findings in report.sets},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_report(path: Path) -> CardFindings:
    """Read what a model card needs of a report.

    Raises:
        InputError: The file is no report of this version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return _CARD_FINDINGS.validate_python(content["card"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as exc:
        raise InputError(f"{path} is no report of metseg-train evaluate; run it again.") from exc


def _set_document(findings: SetFindings, scores: Sequence[Score]) -> dict[str, Any]:
    return {
        "scores": _SCORES.dump_python(list(scores), mode="json"),
        "operating_points": {name: asdict(point) for name, point in findings.at_points.items()},
        "free_response_curve": [asdict(point) for point in findings.curve],
        "by_size": [asdict(row) for classes in SIZE_CLASSES for row in by_size(findings, classes)],
        "known_lesions": known_document(findings),
        "cases": [case_document(result) for result in findings.results],
    }


def case_document(result: CaseResult) -> Mapping[str, Any]:
    """Say how one case came out, as JSON; what is meant in mm is null for a picture."""
    lesions = result.lesionwise
    in_mm = result.unit == "mm"
    return {
        "name": result.name,
        "patient": result.patient,
        "label": result.label,
        "enhances": result.enhances,
        "unit": result.unit,
        **asdict(result.voxels),
        "hd95": result.hd95,
        "surface_dice": result.surface_dice,
        "lesionwise": {
            "dice": lesions.dice,
            "hd95": lesions.hd95,
            "sensitivity": lesions.sensitivity,
            "precision": lesions.precision,
            "f1": lesions.f1,
            "false_lesions": lesions.false_lesions,
            "lesions": [
                {
                    "volume_mm3": lesion.volume_mm3 if in_mm else None,
                    "area_px": None if in_mm else lesion.volume_mm3,
                    "diameter_mm": lesion.diameter_mm if in_mm else None,
                    "dice": lesion.dice,
                    "hd95": lesion.hd95,
                    "found": lesion.found,
                }
                for lesion in lesions.lesions
            ],
        },
        "numbered_lesions": {
            **asdict(result.numbered),
            "diameters_mm": result.numbered.diameters_mm if in_mm else None,
        },
        "synthetic": None if result.synthetic is None else asdict(result.synthetic),
    }
