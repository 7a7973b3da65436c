"""Puts a follow-up into the sentences and cells that the document and the page show alike."""

from typing import Final

from metseg.schemas.follow_up import Comparison, FollowUp, LesionChange, Response

FIGURES: Final = (
    "Then",
    "Now",
    "What",
    "Volume then",
    "Volume now",
    "Change",
    "Longest then",
    "Longest now",
    "Change",
)
"""Heads of the table's columns; the first two are the numbers of the lesions in the two scans."""

RESPONSES: Final = {
    Response.COMPLETE: "complete response",
    Response.PARTIAL: "partial response",
    Response.STABLE: "stable disease",
    Response.PROGRESSION: "progressive disease",
    Response.NEITHER: "neither complete response nor progression",
    Response.NOT_EVALUABLE: "not evaluable",
}


def verdict_sentence(follow_up: FollowUp) -> str:
    """The response with the rule that decided."""
    verdict = follow_up.verdict
    rule = follow_up.rules[verdict.decided_by]
    return f"Since the baseline, by RANO-BM: {RESPONSES[verdict.response]}. The rule: {rule}"


def sum_lines(follow_up: FollowUp) -> list[str]:
    """The sums against baseline and nadir; nothing where there is no sum."""
    verdict = follow_up.verdict
    if verdict.sum_mm is None or verdict.baseline_sum_mm is None or verdict.nadir_sum_mm is None:
        return []
    now, baseline, nadir = verdict.sum_mm, verdict.baseline_sum_mm, verdict.nadir_sum_mm
    growth = _signed(verdict.largest_growth_mm or 0.0, 1)
    return [
        f"Sum of the targets' longest diameters: {now:.1f} mm; at baseline {baseline:.1f} mm "
        f"({_percent(verdict.change_from_baseline_percent)}), smallest before {nadir:.1f} mm "
        f"({_percent(verdict.change_from_nadir_percent)}).",
        f"Longest diameter of the target that grew most since then: {growth} mm.",
    ]


def comparison_sentence(comparison: Comparison) -> str:
    """Which scan it is and how it was registered to the later one."""
    alignment = comparison.alignment
    name = "The uploaded prior" if comparison.came_along else f"Job {comparison.job_id}"
    return (
        f"{name}: {comparison.lesion_count} lesion{'' if comparison.lesion_count == 1 else 's'}, "
        f"{comparison.total_volume_mm3 / 1000:.2f} ml in all. Registered to this scan by a turn of "
        f"{alignment.rotation_degrees:.1f} degrees and a shift of {alignment.shift_mm:.1f} mm; the heads overlap "
        f"by {alignment.head_overlap:.0%} and look alike to {alignment.correlation:.2f} (1 is the same)."
    )


def cells_of(change: LesionChange) -> tuple[str, ...]:
    """The cells of a change, in the order of `FIGURES`."""
    return (
        _numbers(change.before),
        _numbers(change.now),
        change.kind.value + (", target" if change.target else ""),
        f"{change.volume_before_mm3:.0f} mm³",
        f"{change.volume_now_mm3:.0f} mm³",
        _percent(change.volume_change_percent),
        f"{change.longest_before_mm:.1f} mm",
        f"{change.longest_now_mm:.1f} mm",
        _percent(change.longest_change_percent),
    )


def _numbers(labels: list[int]) -> str:
    return ", ".join(map(str, labels)) or "-"


def _percent(change: float | None) -> str:
    return "-" if change is None else f"{_signed(change, 0)} %"


def _signed(change: float, digits: int) -> str:
    """The number with its sign; nothing has none, neither plus nor minus."""
    rounded = round(change, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"
