"""What becomes of synthetic lesions, by kind, size and whether the head is stripped.

Lesions are counted as the scan numbers them, so that each member of a cluster is one, and one is found when a
predicted lesion touches it.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from metseg.schemas.model_card import Score
from metseg_trainer.datasets.synthetic import SyntheticTruth
from metseg_trainer.evaluation.cases import CaseResult
from metseg_trainer.evaluation.scores import SetFindings, to_score
from metseg_trainer.metrics.bootstrap import Estimate, mean_with_interval, ratio_with_interval
from metseg_trainer.metrics.sizes import SizeClasses

BANDS = SizeClasses((5.0, 10.0, 25.0), "mm")
"""By the diameter that the lesion was made with."""

ALL = "all lesions"
FOUND = "share of lesions found"
CHANGED = "share of lesions whose being found changes when the head is stripped"

Heads = Literal["all", "with skull", "stripped"]
HEADS: tuple[Heads, ...] = ("all", "with skull", "stripped")


@dataclass(frozen=True)
class KnownRow:
    """Lesions of one kind or size in some of a set's heads.

    Attributes:
        heads: Which ones.
        name: Kind, class of size, or `ALL`.
        lesions: How many there are.
        found: How many of them were found.
        sensitivity: Their ratio; None where there is no such lesion.
    """

    heads: Heads
    name: str
    lesions: int
    found: int
    sensitivity: Estimate | None


@dataclass(frozen=True, eq=False)
class _Known:
    result: CaseResult
    truth: SyntheticTruth


def count_known(findings: SetFindings) -> list[KnownRow]:
    """Count lesions by kind and size, of all heads and of those with and without skull; empty for real scans."""
    cases = _known_cases(findings)
    kinds = dict.fromkeys(kind for case in cases for kind in case.truth.kinds)
    rows = []
    for heads, some in _by_heads(cases):
        rows.append(_count(heads, ALL, some, lambda _kind, _mm: True))
        rows += [_count(heads, kind, some, _is_kind(kind)) for kind in sorted(kinds)]
        rows += [_count(heads, name, some, _in_band(index)) for index, name in enumerate(BANDS.names)]
    return rows


def count_false(findings: SetFindings) -> dict[Heads, Estimate]:
    """Count false lesions a scan, of all heads and of those with and without skull."""
    return {
        heads: mean_with_interval(
            [float(case.result.numbered.false_lesions) for case in cases], [case.result.patient for case in cases]
        )
        for heads, cases in _by_heads(_known_cases(findings))
    }


def compare_pairs(findings: SetFindings) -> Estimate | None:
    """Return the share of lesions found in only one of a head's two scans, with and without skull.

    Returns:
        None where no head was scanned both ways.
    """
    heads: dict[str, list[_Known]] = defaultdict(list)
    for case in _known_cases(findings):
        heads[case.result.patient].append(case)
    changed, lesions, patients = [], [], []
    for patient, scans in heads.items():
        if sorted(case.truth.stripped for case in scans) != [False, True]:
            continue
        one, other = (case.result.numbered.found for case in scans)
        changed.append(sum(a != b for a, b in zip(one, other, strict=True)))
        lesions.append(len(one))
        patients.append(patient)
    return ratio_with_interval(changed, lesions, patients) if patients else None


def known_scores(findings: SetFindings, command: str) -> list[Score]:
    """Tell for a card what is found, by kind and of stripped heads, and what stripping changes."""
    scores = [
        to_score(
            findings.name, f"{FOUND}, {row.name}, {row.heads} ({row.lesions} lesions)", row.sensitivity, command
        )
        for row in count_known(findings)
        if row.sensitivity is not None and (row.heads == "all" or row.name == ALL)
    ]
    changed = compare_pairs(findings)
    return scores if changed is None else [*scores, to_score(findings.name, CHANGED, changed, command)]


def known_document(findings: SetFindings) -> dict[str, Any] | None:
    """Write all of this as JSON; None for real scans."""
    rows = count_known(findings)
    if not rows:
        return None
    changed = compare_pairs(findings)
    return {
        "lesions": [asdict(row) for row in rows],
        "false_lesions_per_scan": {heads: asdict(one) for heads, one in count_false(findings).items()},
        "changed_by_stripping": None if changed is None else asdict(changed),
    }


def describe_known(findings: SetFindings) -> list[str]:
    """Write the lines of a table: found of all, and the share, for all heads, with skull and stripped."""
    rows = {(row.heads, row.name): row for row in count_known(findings)}
    if not rows:
        return []
    names = dict.fromkeys(name for _, name in rows)
    heads = [one for one in HEADS if (one, ALL) in rows]
    lines = [f"{findings.name}: lesions found".ljust(34) + "".join(one.rjust(18) for one in heads)]
    for name in names:
        if rows["all", name].lesions:
            lines.append(f"  {name}".ljust(34) + "".join(_cell(rows[one, name]).rjust(18) for one in heads))
    false = count_false(findings)
    lines.append(
        "  false lesions a scan".ljust(34) + "".join(f"{false[one].value:.2f}".rjust(18) for one in heads)
    )
    changed = compare_pairs(findings)
    if changed is not None:
        lines.append(f"{findings.name}: {CHANGED}: {changed.text}")
    return lines


def _known_cases(findings: SetFindings) -> list[_Known]:
    return [_Known(result, result.synthetic) for result in findings.results if result.synthetic is not None]


def _by_heads(cases: Sequence[_Known]) -> list[tuple[Heads, list[_Known]]]:
    whole = [case for case in cases if not case.truth.stripped]
    stripped = [case for case in cases if case.truth.stripped]
    groups = zip(HEADS, (list(cases), whole, stripped), strict=True)
    return [(heads, some) for heads, some in groups if some]


def _count(heads: Heads, name: str, cases: Sequence[_Known], belongs: Callable[[str, float], bool]) -> KnownRow:
    lesions, found = [], []
    for case in cases:
        judged = zip(case.truth.kinds, case.truth.diameters_mm, case.result.numbered.found, strict=True)
        chosen = [was_found for kind, diameter_mm, was_found in judged if belongs(kind, diameter_mm)]
        lesions.append(len(chosen))
        found.append(sum(chosen))
    patients = [case.result.patient for case in cases]
    return KnownRow(heads, name, sum(lesions), sum(found), ratio_with_interval(found, lesions, patients))


def _is_kind(kind: str) -> Callable[[str, float], bool]:
    return lambda this, _diameter_mm: this == kind


def _in_band(index: int) -> Callable[[str, float], bool]:
    return lambda _kind, diameter_mm: BANDS.group([diameter_mm])[0] == index


def _cell(row: KnownRow) -> str:
    share = "" if row.sensitivity is None else f" ({row.sensitivity.value:.2f})"
    return f"{row.found}/{row.lesions}{share}"
