"""RANO-BM over time: the response of the targets against baseline and nadir.

Lin et al., Response assessment criteria for brain metastases: proposal from the RANO group, Lancet Oncol 2015;
16:e270-278. Targets are chosen at baseline and followed; a lesion that fell apart counts by the sum of its parts,
and what grew together counts once. Steroids and clinical state are not known, so what is named is the
radiological category.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from metseg.lesions.matching import percent
from metseg.schemas.follow_up import Response, ResponseRule, Verdict

PARTIAL_PERCENT: Final = -30.0
PROGRESSION_PERCENT: Final = 20.0
PROGRESSION_MM: Final = 5.0
FEWEST_SLICES: Final = 2
TOLERANCE: Final = 1e-6

RULES: Final = {
    ResponseRule.MEASURED: "Baseline and this scan may be measured by RANO-BM.",
    ResponseRule.NOTHING: "Without a lesion at baseline and now there is nothing to follow.",
    ResponseRule.NEW_LESION: f"A lesion on {FEWEST_SLICES} slices or more that no earlier scan shows "
    "is progression.",
    ResponseRule.GROWTH: f"A sum of longest diameters {PROGRESSION_PERCENT:g} % or more above the smallest one, "
    f"with a target longer by {PROGRESSION_MM:g} mm or more, is progression.",
    ResponseRule.ALL_GONE: "That no lesion is left is a complete response.",
    ResponseRule.NO_TARGET: "Without a target at baseline there is neither a partial response nor a sum.",
    ResponseRule.DECREASE: f"A sum of longest diameters {-PARTIAL_PERCENT:g} % or more below that at baseline is "
    "a partial response.",
    ResponseRule.OTHERWISE: "All else is stable disease.",
}

NOT_JUDGED: Final = (
    "whether a response holds for four weeks, for the dates of the scans are not kept",
    "steroids and clinical state, without which this is the radiological category alone",
    "unequivocal growth of lesions that are no targets, which is for a reader to judge",
    "new lesions on a single slice, which are to be looked for again",
    "treatment: after radiation or immunotherapy growth may be none of the tumour",
)


@dataclass(frozen=True)
class Visit:
    """The baseline's targets in one scan.

    Attributes:
        job_id: Who measured it.
        lesion_count: All lesions of the scan.
        applies: Whether RANO-BM applies to it.
        targets: Of each target, by its number at baseline, the numbers of what it is in this scan.
        longest_mm: Longest diameter of each lesion of the scan by its number.
    """

    job_id: str
    lesion_count: int
    applies: bool
    targets: dict[int, tuple[int, ...]]
    longest_mm: dict[int, float]

    @property
    def sum_mm(self) -> float | None:
        """Sum over the targets, each lesion once; None where RANO-BM does not apply."""
        parts = {label for labels in self.targets.values() for label in labels}
        return float(sum(self.longest_mm[label] for label in sorted(parts))) if self.applies else None

    def length_mm(self, target: int) -> float:
        """Sum of the longest diameters of what a target has become."""
        return float(sum(self.longest_mm[label] for label in self.targets[target]))


def judge(earlier: Sequence[Visit], now: Visit, *, new_lesions_on_slices: Sequence[int]) -> Verdict:
    """Name the response.

    Args:
        earlier: The baseline first.
        now: This scan.
        new_lesions_on_slices: Of each lesion that no earlier scan shows, how many slices it spans.
    """
    baseline = earlier[0]
    if not (baseline.applies and now.applies):
        return Verdict(response=Response.NOT_EVALUABLE, decided_by=ResponseRule.MEASURED)
    sums = (
        _sums(earlier, now)
        if baseline.targets
        else Verdict(response=Response.NEITHER, decided_by=ResponseRule.NO_TARGET)
    )
    response, rule = _decide(baseline, now, sums, new_lesions_on_slices)
    return sums.model_copy(update={"response": response, "decided_by": rule})


def _decide(
    baseline: Visit, now: Visit, sums: Verdict, new_lesions_on_slices: Sequence[int]
) -> tuple[Response, ResponseRule]:
    """The first rule that holds; progression goes before every response."""
    if any(slices >= FEWEST_SLICES for slices in new_lesions_on_slices):
        return Response.PROGRESSION, ResponseRule.NEW_LESION
    if _has_grown(sums):
        return Response.PROGRESSION, ResponseRule.GROWTH
    if not now.lesion_count:
        return (
            (Response.COMPLETE, ResponseRule.ALL_GONE)
            if baseline.lesion_count
            else (Response.NOT_EVALUABLE, ResponseRule.NOTHING)
        )
    if not baseline.targets:
        return Response.NEITHER, ResponseRule.NO_TARGET
    change = sums.change_from_baseline_percent
    if change is not None and change <= PARTIAL_PERCENT + TOLERANCE:
        return Response.PARTIAL, ResponseRule.DECREASE
    return Response.STABLE, ResponseRule.OTHERWISE


def _sums(earlier: Sequence[Visit], now: Visit) -> Verdict:
    """The figures, with a response that is yet to be decided."""
    measured = [(visit.sum_mm, visit) for visit in earlier if visit.sum_mm is not None]
    nadir_mm, nadir = min(measured, key=lambda pair: pair[0])
    baseline_mm, sum_mm = measured[0][0], now.sum_mm or 0.0
    return Verdict(
        response=Response.STABLE,
        decided_by=ResponseRule.OTHERWISE,
        baseline_sum_mm=baseline_mm,
        nadir_sum_mm=nadir_mm,
        nadir_job_id=nadir.job_id,
        sum_mm=sum_mm,
        change_from_baseline_percent=percent(baseline_mm, sum_mm),
        change_from_nadir_percent=percent(nadir_mm, sum_mm),
        largest_growth_mm=max(now.length_mm(target) - nadir.length_mm(target) for target in now.targets),
    )


def _has_grown(sums: Verdict) -> bool:
    if sums.sum_mm is None or sums.nadir_sum_mm is None or sums.largest_growth_mm is None:
        return False
    change = sums.change_from_nadir_percent
    grown = sums.sum_mm > 0 if change is None else change >= PROGRESSION_PERCENT - TOLERANCE
    return grown and sums.largest_growth_mm >= PROGRESSION_MM - TOLERANCE
