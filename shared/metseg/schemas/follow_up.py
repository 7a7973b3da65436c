"""What a follow-up holds: priors registered to the later scan, what became of each lesion, and the response.

A part of `report.json` (`metseg.schemas.report.Report.follow_up`); like it, it only ever grows.
"""

from enum import StrEnum

from pydantic import Field

from metseg.schemas.job import ModelRef, Schema
from metseg.schemas.measured import Measured, NotNegative, Share


class ChangeKind(StrEnum):
    """What became of a lesion; `FollowUp.kinds` holds the sentence of each."""

    NEW = "new"
    GROWN = "grown"
    STABLE = "stable"
    SHRUNK = "shrunk"
    GONE = "gone"
    SPLIT = "split"
    MERGED = "merged"


class Response(StrEnum):
    """The radiological category, for steroids and clinical state are not known."""

    COMPLETE = "complete_response"
    PARTIAL = "partial_response"
    STABLE = "stable_disease"
    PROGRESSION = "progressive_disease"
    NEITHER = "non_complete_response_non_progression"
    NOT_EVALUABLE = "not_evaluable"


class ResponseRule(StrEnum):
    """The rules on response by name; `FollowUp.rules` holds their sentences."""

    MEASURED = "measured_by_rano_bm"
    NOTHING = "no_lesion_then_or_now"
    NEW_LESION = "new_lesion_on_two_slices"
    GROWTH = "sum_20_percent_above_nadir_and_5_mm"
    ALL_GONE = "all_lesions_gone"
    NO_TARGET = "no_target_at_baseline"
    DECREASE = "sum_30_percent_below_baseline"
    OTHERWISE = "none_of_the_others"


class LesionChange(Schema):
    """One row of the table: what was one lesion or belongs together, then and now.

    Attributes:
        before, now: Numbers of its parts in the earlier scan's `lesions.nii.gz` (where it was uploaded with this
            job, this job's `previous_lesions.nii.gz`) and in this job's.
        volume_before_mm3, volume_now_mm3: Over all parts; 0 without any.
        longest_before_mm, longest_now_mm: Sum of the parts' longest diameters; 0 without any.
        volume_change_percent, longest_change_percent: None where nothing was there before.
        target: Whether a target lesion of the baseline is among the parts in the prior; only in the comparison
            with the baseline.
    """

    kind: ChangeKind
    before: list[int]
    now: list[int]
    volume_before_mm3: NotNegative
    volume_now_mm3: NotNegative
    volume_change_percent: Measured | None
    longest_before_mm: NotNegative
    longest_now_mm: NotNegative
    longest_change_percent: Measured | None
    target: bool = False


class Alignment(Schema):
    """How an earlier scan was registered to the later one.

    Attributes:
        to_previous_ras_mm: (4, 4), takes RAS+ millimetres of the later scan to those of the earlier one.
        rotation_degrees: Angle of that motion.
        shift_mm: How far it moves the middle of the later scan.
        head_overlap: Share of the smaller head that lies within the other scan's, 0 to 1.
        correlation: Of the grey values where both show head, -1 to 1.
    """

    to_previous_ras_mm: list[list[Measured]]
    rotation_degrees: Measured = Field(ge=0, le=180)
    shift_mm: NotNegative
    head_overlap: Share
    correlation: Measured = Field(ge=-1, le=1)


class Comparison(Schema):
    """The later scan beside one earlier scan.

    Attributes:
        job_id: The job that measured the earlier scan.
        came_along: Whether that is this very job, with which the earlier scan came.
        model: What measured it.
        threshold: With which threshold.
        lesion_count, total_volume_mm3: Of that scan.
        sum_of_longest_diameters_mm: Of the baseline's targets in that scan; None where RANO-BM does not apply.
        changes: What became of each lesion since, those of the earlier scan first and the new ones last.
    """

    job_id: str
    came_along: bool = False
    model: ModelRef
    threshold: float
    lesion_count: int = Field(ge=0)
    total_volume_mm3: NotNegative
    sum_of_longest_diameters_mm: Measured | None
    alignment: Alignment
    changes: list[LesionChange]


class Verdict(Schema):
    """The response by RANO-BM.

    Attributes:
        response: The category.
        decided_by: The rule on which it rests.
        baseline_sum_mm, nadir_sum_mm, sum_mm: Sum of the targets' longest diameters at baseline, at its
            smallest in the earlier scans, and now; None where RANO-BM does not apply or there is no target.
        nadir_job_id: The job of the smallest sum, the earliest of equal ones.
        change_from_baseline_percent, change_from_nadir_percent: Of the sum; None where it cannot be told.
        largest_growth_mm: By how much the target that grew most is longer than at the nadir.
    """

    response: Response
    decided_by: ResponseRule
    baseline_sum_mm: Measured | None = None
    nadir_sum_mm: Measured | None = None
    nadir_job_id: str | None = None
    sum_mm: Measured | None = None
    change_from_baseline_percent: Measured | None = None
    change_from_nadir_percent: Measured | None = None
    largest_growth_mm: Measured | None = None


class FollowUp(Schema):
    """One scan beside earlier ones of the same patient (`metseg.lesions.matching`, `metseg.response.assessment`).

    Attributes:
        comparisons: One for each earlier scan in the order in which they were named: the baseline first.
        verdict: The response.
        reference: Where the rules come from.
        rules, kinds: The sentence of each rule on response, and of each kind of change.
        not_judged: What the criteria ask for and was not looked at.
    """

    comparisons: list[Comparison] = Field(min_length=1)
    verdict: Verdict
    reference: str
    rules: dict[ResponseRule, str]
    kinds: dict[ChangeKind, str]
    not_judged: list[str]
