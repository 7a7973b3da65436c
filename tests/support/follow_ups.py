"""A follow-up with known figures, for what shows it."""

import numpy as np

from metseg.lesions.matching import KINDS
from metseg.response.assessment import NOT_JUDGED, RULES
from metseg.response.rano_bm import REFERENCE
from metseg.schemas.follow_up import (
    Alignment,
    ChangeKind,
    Comparison,
    FollowUp,
    LesionChange,
    Response,
    ResponseRule,
    Verdict,
)
from metseg.schemas.job import ModelRef

EARLIER_JOB = "019c0000-1111-7222-8333-444455556666"


def follow_up() -> FollowUp:
    """One lesion that has grown, and a new one."""
    grown = LesionChange(
        kind=ChangeKind.GROWN,
        before=[1],
        now=[1],
        volume_before_mm3=1000,
        volume_now_mm3=1500,
        volume_change_percent=50,
        longest_before_mm=12.5,
        longest_now_mm=15,
        longest_change_percent=20,
        target=True,
    )
    new = LesionChange(
        kind=ChangeKind.NEW,
        before=[],
        now=[2],
        volume_before_mm3=0,
        volume_now_mm3=300,
        volume_change_percent=None,
        longest_before_mm=0,
        longest_now_mm=8,
        longest_change_percent=None,
    )
    comparison = Comparison(
        job_id=EARLIER_JOB,
        model=ModelRef(name="attention_unet", version=1, digest="d" * 64),
        threshold=0.5,
        lesion_count=1,
        total_volume_mm3=1000,
        sum_of_longest_diameters_mm=12.5,
        alignment=Alignment(
            to_previous_ras_mm=np.eye(4).tolist(),
            rotation_degrees=3.25,
            shift_mm=7.5,
            head_overlap=0.98,
            correlation=0.91,
        ),
        changes=[grown, new],
    )
    verdict = Verdict(
        response=Response.PROGRESSION,
        decided_by=ResponseRule.NEW_LESION,
        baseline_sum_mm=12.5,
        nadir_sum_mm=12.5,
        nadir_job_id=EARLIER_JOB,
        sum_mm=15,
        change_from_baseline_percent=20,
        change_from_nadir_percent=20,
        largest_growth_mm=2.5,
    )
    return FollowUp(
        comparisons=[comparison],
        verdict=verdict,
        reference=REFERENCE,
        rules=RULES,
        kinds=KINDS,
        not_judged=list(NOT_JUDGED),
    )
