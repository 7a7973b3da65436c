"""The figures of one data set, each with its interval, as the scores of report and card."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from metseg.schemas.model_card import Score
from metseg_trainer.evaluation.cases import CaseResult, NumberedLesions
from metseg_trainer.metrics.bootstrap import Estimate, mean_with_interval, ratio_with_interval
from metseg_trainer.metrics.detection import CurvePoint
from metseg_trainer.metrics.lesionwise import LesionResult
from metseg_trainer.metrics.sizes import BY_DIAMETER, BY_VOLUME, SizeClasses

LARGE_LESION_MM = 8.0
"""Lesions from this diameter on must be found."""

COUNTED_LESION_MM = 5.0
"""Smaller lesions are hard to tell from vessels at the spacing of most scans: F1 is told without them too."""

DICE = "mean Dice"
LESIONWISE_DICE = "mean lesion-wise Dice"
SENSITIVITY = "lesion-wise sensitivity"
PRECISION = "lesion-wise precision"
F1 = "lesion-wise F1"
F1_COUNTED = f"lesion-wise F1, lesions of {COUNTED_LESION_MM:g} mm and more"
LARGE_FOUND = f"share of lesions of {LARGE_LESION_MM:g} mm and more that are found"
FALSE_LESIONS = "false lesions a scan"
AT_SCREENING = ", at the screening point"

DEFINITIONS: Mapping[str, str] = MappingProxyType(
    {
        DICE: "Mean over cases of twice the common voxels over the voxels of both masks; 1 where both are empty, "
        "0 where one is. The main metric.",
        LESIONWISE_DICE: "Mean over cases of the lesion-wise Dice as BraTS-METS 2023 defines it: the Dice of each "
        "lesion with all that touches it, summed, over lesions and false ones; 1 where there are neither.",
        SENSITIVITY: "Found lesions over all lesions of more than 2 mm³ of all cases; one is found when a "
        "predicted part touches it after one dilation.",
        PRECISION: "Found lesions over found and false ones, of all cases; a predicted part that touches no "
        "lesion is false, however small.",
        F1: "Harmonic mean of the two.",
        F1_COUNTED: f"The same; lesions whose ball of equal volume is below {COUNTED_LESION_MM:g} mm are neither "
        "counted nor missed, and what touches only them is not false.",
        LARGE_FOUND: "Lesions as the data set numbers them; found when a predicted one touches.",
        FALSE_LESIONS: "Predicted lesions that touch no lesion of the truth, over scans.",
        f"…{AT_SCREENING}": "The same where the screening threshold is not that of all other figures.",
        "mean HD95": "Mean over cases of the symmetric 95th percentile of the distance of surfaces, weighted by "
        "their area (Nikolov et al. 2018); 0 where both masks are empty. Where one is, 374 mm as in BraTS, or a "
        "picture's diagonal.",
        "mean surface Dice": "Mean over cases of the share of both surfaces within 1 mm (pictures: 1 pixel) of "
        "each other (Nikolov et al. 2018).",
    }
)

HEADLINES = (
    DICE,
    LESIONWISE_DICE,
    SENSITIVITY,
    F1_COUNTED,
    LARGE_FOUND,
    FALSE_LESIONS,
    LARGE_FOUND + AT_SCREENING,
    FALSE_LESIONS + AT_SCREENING,
)
"""What of a report's figures stands among the scores of a card; classes of the main metric do too."""


@dataclass(frozen=True, eq=False)
class SetFindings:
    """What was found on one data set.

    Attributes:
        name: In card and report.
        results: One a case, at least one.
        curve: Free-response curve over thresholds.
        at_points: The operating points of the card on these cases, by name.
        volumes: Whether they are volumes, not pictures.
        screened: One a volume, at the screening point; empty where its threshold is that of `results`.
    """

    name: str
    results: Sequence[CaseResult]
    curve: Sequence[CurvePoint]
    at_points: Mapping[str, CurvePoint]
    volumes: bool
    screened: Sequence[NumberedLesions] = ()


@dataclass(frozen=True)
class SizeRow:
    """One class of lesion size; `sensitivity` is None where there is no such lesion."""

    name: str
    lesions: int
    found: int
    sensitivity: Estimate | None


def score_set(findings: SetFindings, command: str) -> list[Score]:
    """Sum up the cases of one data set, the main metric first.

    Args:
        findings: Of the set.
        command: What makes these figures again.
    """
    estimates = _means(findings, ((DICE, lambda result: result.dice),))
    estimates += _by_class(findings.results)
    estimates += _means(findings, ((LESIONWISE_DICE, lambda result: result.lesionwise.dice),))
    estimates += _detection(findings)
    unit = findings.results[0].unit
    estimates += _means(
        findings,
        (
            ("mean IoU", lambda result: result.voxels.iou),
            ("mean precision", lambda result: result.voxels.precision),
            ("mean recall", lambda result: result.voxels.recall),
            (f"mean HD95 ({unit})", lambda result: result.hd95),
            (f"mean lesion-wise HD95 ({unit})", lambda result: result.lesionwise.hd95),
            (f"mean surface Dice at 1 {unit}", lambda result: result.surface_dice),
        ),
    )
    return [to_score(findings.name, metric, estimate, command) for metric, estimate in estimates if estimate]


def headline(score: Score) -> bool:
    """Say whether a figure stands among the scores of a card."""
    return score.metric in HEADLINES or score.metric.startswith(f"{DICE}, ")


def by_size(findings: SetFindings, classes: SizeClasses) -> list[SizeRow]:
    """Tell the lesions found by class of size; an empty list for pictures, which have no mm."""
    if any(result.unit != "mm" for result in findings.results):
        return []
    patients = [result.patient for result in findings.results]
    grouped = [_grouped(result.lesionwise.lesions, classes) for result in findings.results]
    rows = []
    for index, name in enumerate(classes.names):
        there = [len(case[index]) for case in grouped]
        found = [sum(lesion.found for lesion in case[index]) for case in grouped]
        rows.append(SizeRow(name, sum(there), sum(found), ratio_with_interval(found, there, patients)))
    return rows


def size_scores(findings: SetFindings, command: str) -> list[Score]:
    """Tell sensitivity by diameter as scores, those of no lesion left out."""
    return [
        to_score(findings.name, f"{SENSITIVITY}, {row.name} ({row.lesions} lesions)", row.sensitivity, command)
        for row in by_size(findings, BY_DIAMETER)
        if row.sensitivity is not None
    ]


def to_score(dataset: str, metric: str, estimate: Estimate, command: str) -> Score:
    """Round an estimate to what a card holds."""
    return Score(
        dataset=dataset,
        metric=metric,
        value=round(estimate.value, 4),
        low=None if estimate.low is None else round(estimate.low, 4),
        high=None if estimate.high is None else round(estimate.high, 4),
        cases=estimate.cases,
        command=command,
    )


Named = tuple[str, Estimate | None]
Figure = tuple[str, Callable[[CaseResult], float]]


def _means(findings: SetFindings, figures: Sequence[Figure]) -> list[Named]:
    patients = [result.patient for result in findings.results]
    return [
        (name, mean_with_interval([figure(result) for result in findings.results], patients))
        for name, figure in figures
    ]


def _by_class(results: Sequence[CaseResult]) -> list[Named]:
    """Return the mean Dice of each class, and of its enhancing and other tumours where it has both."""
    classes: dict[str, list[CaseResult]] = defaultdict(list)
    for result in results:
        if result.label:
            classes[result.label].append(result)
    if len(classes) < 2:
        return []
    groups = {}
    for label, members in sorted(classes.items()):
        groups[label] = members
        enhancing = [result for result in members if result.enhances]
        others = [result for result in members if result.enhances is False]
        if enhancing and others:
            groups |= {f"{label}, enhancing": enhancing, f"{label}, not enhancing": others}
    return [
        (f"{DICE}, {name}", mean_with_interval([r.dice for r in members], [r.patient for r in members]))
        for name, members in groups.items()
    ]


def _detection(findings: SetFindings) -> list[Named]:
    results = findings.results
    patients = [result.patient for result in results]
    there = [len(result.lesionwise.lesions) for result in results]
    found = [result.lesionwise.found for result in results]
    false = [result.lesionwise.false_lesions for result in results]
    named = [a + b for a, b in zip(found, false, strict=True)]
    figures: list[Named] = [
        (SENSITIVITY, ratio_with_interval(found, there, patients)),
        (PRECISION, ratio_with_interval(found, named, patients)),
        (F1, _f1(results, 0.0)),
    ]
    if findings.volumes:
        figures.append((F1_COUNTED, _f1(results, COUNTED_LESION_MM)))
        figures += _numbered([result.numbered for result in results], patients)
    if findings.screened:
        figures += [(name + AT_SCREENING, figure) for name, figure in _numbered(findings.screened, patients)]
    return figures


def _numbered(cases: Sequence[NumberedLesions], patients: Sequence[str]) -> list[Named]:
    found, large = zip(*map(_large_counts, cases), strict=True)
    return [
        (LARGE_FOUND, ratio_with_interval(found, large, patients)),
        (FALSE_LESIONS, mean_with_interval([float(case.false_lesions) for case in cases], patients)),
    ]


def _f1(results: Sequence[CaseResult], lesion_from_mm: float) -> Estimate | None:
    doubled, judged = [], []
    for result in results:
        counted = [lesion for lesion in result.lesionwise.lesions if lesion.diameter_mm >= lesion_from_mm]
        found = sum(lesion.found for lesion in counted)
        doubled.append(2 * found)
        judged.append(found + result.lesionwise.false_lesions + len(counted))
    return ratio_with_interval(doubled, judged, [result.patient for result in results])


def _large_counts(case: NumberedLesions) -> tuple[int, int]:
    large = [
        found for found, diameter in zip(case.found, case.diameters_mm, strict=True) if diameter >= LARGE_LESION_MM
    ]
    return sum(large), len(large)


def _grouped(lesions: Sequence[LesionResult], classes: SizeClasses) -> list[list[LesionResult]]:
    groups: list[list[LesionResult]] = [[] for _ in classes.names]
    sizes = [lesion.diameter_mm if classes is BY_DIAMETER else lesion.volume_mm3 for lesion in lesions]
    for lesion, group in zip(lesions, classes.group(sizes), strict=True):
        groups[group].append(lesion)
    return groups


SIZE_CLASSES = (BY_DIAMETER, BY_VOLUME)
