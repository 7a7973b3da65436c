"""Models side by side on the same cases, and which of them should be the default."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit, logit
from tqdm import tqdm

from metseg.inference.segment import Batches, Predict
from metseg.models.ensemble import ensemble_card
from metseg.schemas.job import ENSEMBLE
from metseg_trainer.datasets import Case
from metseg_trainer.evaluation.cases import CaseResult, OperatingPoint, SeenCase, judge
from metseg_trainer.evaluation.evaluate import Subject
from metseg_trainer.evaluation.prediction_cache import PredictionCache
from metseg_trainer.metrics.bootstrap import Estimate, mean_with_interval

FLIPS = " + flips"

SURE = 1e-6
"""Nearer to 0 or 1 an answer is not told from either, as float32 cannot tell it from 1."""


@dataclass(frozen=True, eq=False)
class Entrant:
    """One model of the comparison.

    Attributes:
        name: In tables.
        subject: The model.
        servable: Whether it can be the default; flips and the ensemble cannot and are only reported.
    """

    name: str
    subject: Subject
    servable: bool = True


@dataclass(frozen=True, eq=False)
class Row:
    """How one entrant came out.

    Attributes:
        name: Of the entrant, or `ENSEMBLE`.
        servable: As of the entrant.
        point: At which it was judged.
        results: By data set, in the order of the cases.
    """

    name: str
    servable: bool
    point: OperatingPoint
    results: Mapping[str, Sequence[CaseResult]]

    @property
    def dice(self) -> list[float]:
        """Of every case of every set."""
        return [result.dice for results in self.results.values() for result in results]

    @property
    def lesionwise_dice(self) -> list[float]:
        """Of every case of every set."""
        return [result.lesionwise.dice for results in self.results.values() for result in results]

    @property
    def patients(self) -> list[str]:
        """Whose case each is; two sets share no patient."""
        return [f"{name}/{result.patient}" for name, results in self.results.items() for result in results]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Entrants on the same cases.

    Attributes:
        rows: In the order they were named.
    """

    rows: Sequence[Row]

    @property
    def best(self) -> Row:
        """The one to be the default: of those that can be hosted, that with the best mean Dice over all cases.

        Lesion-wise Dice breaks a tie.
        """
        servable = [row for row in self.rows if row.servable]
        return max(servable, key=lambda row: (round(float(np.mean(row.dice)), 6), np.mean(row.lesionwise_dice)))

    def difference(self, row: Row) -> Estimate:
        """Return the mean over cases of the best one's Dice less this one's, case by case."""
        best = self.best
        paired = [a - b for a, b in zip(best.dice, row.dice, strict=True)]
        return mean_with_interval(paired, best.patients)

    def verdict(self) -> str:
        """Say in a sentence which is the default and how sure that is."""
        best = self.best
        told = f"Default: {best.name} (mean Dice {np.mean(best.dice):.3f} over {len(best.dice)} cases)"
        others = [row for row in self.rows if row.servable and row is not best]
        if not others:
            return f"{told}; there is no other."
        second = max(others, key=lambda row: float(np.mean(row.dice)))
        ahead = self.difference(second)
        sure = "" if ahead.low is not None and ahead.low > 0 else ", which may be chance"
        return f"{told}; ahead of {second.name} by {ahead.text}{sure}."


def compare(entrants: Sequence[Entrant], sets: Mapping[str, Sequence[Case]]) -> Comparison:
    """Judge entrants, each at its own operating point, and the mean of their probabilities.

    Args:
        entrants: At least one.
        sets: The same for all.
    """
    ensembled = [entrant for entrant in entrants if entrant.servable]
    points = {entrant.name: entrant.subject.points.point for entrant in entrants}
    if len(ensembled) > 1:
        points[ENSEMBLE] = _mean_point([entrant.subject for entrant in ensembled])
    results: dict[str, dict[str, list[CaseResult]]] = {name: {} for name in points}
    for set_name, cases in sets.items():
        for case in tqdm(cases, desc=set_name, unit="case"):
            for name, seen in _see_all(entrants, ensembled, case).items():
                results[name].setdefault(set_name, []).append(judge(seen, points[name]))
    servable = {entrant.name for entrant in ensembled}
    return Comparison([Row(name, name in servable, points[name], results[name]) for name in points])


def flipped(entrant: Entrant) -> Entrant:
    """Let an entrant see each slice mirrored too, left for right, and pool both answers as `lesion_finder`."""
    subject = entrant.subject
    cache = subject.cache and PredictionCache(subject.cache.folder, f"pooled flips {subject.cache.model}")
    return Entrant(
        entrant.name + FLIPS, replace(subject, predict=_with_flips(subject.predict), cache=cache), False
    )


def comparison_document(comparison: Comparison, command: str) -> dict[str, Any]:
    """Say it as JSON, each case with its Dice beside that of the best."""
    best = comparison.best
    return {
        "schema_version": 1,
        "research_use_only": True,
        "command": command,
        "main_metric": "mean Dice over all cases",
        "default_model": best.name,
        "verdict": comparison.verdict(),
        "rows": [
            {
                "name": row.name,
                "servable": row.servable,
                "threshold": row.point.threshold,
                "mean_dice": asdict(mean_with_interval(row.dice, row.patients)),
                "mean_lesionwise_dice": asdict(mean_with_interval(row.lesionwise_dice, row.patients)),
                "behind_the_best": asdict(comparison.difference(row)),
                "cases": {
                    name: [
                        {"name": one.name, "dice": one.dice, "lesionwise_dice": one.lesionwise.dice}
                        for one in results
                    ]
                    for name, results in row.results.items()
                },
            }
            for row in comparison.rows
        ],
    }


def _see_all(entrants: Sequence[Entrant], ensembled: Sequence[Entrant], case: Case) -> dict[str, SeenCase]:
    seen = {entrant.name: entrant.subject.see_one(case) for entrant in entrants}
    if len(ensembled) > 1:
        members = [seen[entrant.name] for entrant in ensembled]
        mean = np.mean([member.probability for member in members], axis=0)
        seen[ENSEMBLE] = replace(members[0], probability=np.asarray(mean, dtype=np.float32))
    return seen


def _mean_point(subjects: Sequence[Subject]) -> OperatingPoint:
    """The point at which the ensemble is served."""
    return replace(subjects[0], card=ensemble_card([subject.card for subject in subjects])).points.point


def _with_flips(predict: Predict) -> Predict:
    def predict_flipped(batches: Batches) -> Any:
        for batch in batches:
            straight, mirrored = predict([batch, batch[:, ::-1]])
            odds = [logit(np.clip(one, SURE, 1 - SURE)) for one in (straight, mirrored[:, ::-1])]
            yield expit(np.mean(odds, axis=0, dtype=np.float32))

    return predict_flipped
