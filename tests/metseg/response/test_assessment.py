"""Each rule on response decides where it should, and the sums are taken over the baseline's targets."""

import pytest

from metseg.response.assessment import Visit, judge
from metseg.schemas.follow_up import Response, ResponseRule


def visit(*lengths: float, targets: dict[int, tuple[int, ...]] | None = None, applies=True, job="now") -> Visit:
    """A scan with lesions of these lengths, by default each target what has its number."""
    longest = dict(enumerate(lengths, 1))
    if targets is None:
        targets = {label: (label,) if mm else () for label, mm in longest.items()}
    longest = {label: mm for label, mm in longest.items() if mm}
    return Visit(job, len(longest), applies, targets, longest)


@pytest.mark.parametrize(
    ("earlier", "now", "new", "response", "rule"),
    [
        ([visit(20, 10)], visit(21, 10), [], Response.STABLE, ResponseRule.OTHERWISE),
        ([visit(20, 10)], visit(14, 7), [], Response.PARTIAL, ResponseRule.DECREASE),
        ([visit(20, 10)], visit(14, 7.1), [], Response.STABLE, ResponseRule.OTHERWISE),
        ([visit(20, 10)], visit(0, 0), [], Response.COMPLETE, ResponseRule.ALL_GONE),
        ([visit(20, 10)], visit(25, 11), [], Response.PROGRESSION, ResponseRule.GROWTH),
        ([visit(20, 10)], visit(24.9, 11.1), [], Response.STABLE, ResponseRule.OTHERWISE),
        ([visit(30, 10)], visit(35, 10), [], Response.STABLE, ResponseRule.OTHERWISE),
        ([visit(20, 10), visit(10, 6, job="b")], visit(15, 6), [], Response.PROGRESSION, ResponseRule.GROWTH),
        ([visit(20, 10), visit(10, 6, job="b")], visit(12, 6), [], Response.PARTIAL, ResponseRule.DECREASE),
        ([visit(20, 10), visit(0, 0, job="b")], visit(5, 0), [], Response.PROGRESSION, ResponseRule.GROWTH),
        ([visit(20, 10)], visit(10, 5, 4, targets={1: (1,), 2: (2,)}), [2], Response.PROGRESSION,
         ResponseRule.NEW_LESION),
        ([visit(20, 10)], visit(10, 5, 4, targets={1: (1,), 2: (2,)}), [1], Response.PARTIAL,
         ResponseRule.DECREASE),
        ([visit(20)], visit(4, targets={1: ()}), [], Response.PARTIAL, ResponseRule.DECREASE),
        ([visit(6, targets={})], visit(3, targets={}), [], Response.NEITHER, ResponseRule.NO_TARGET),
        ([visit(6, targets={})], visit(targets={}), [], Response.COMPLETE, ResponseRule.ALL_GONE),
        ([visit()], visit(), [], Response.NOT_EVALUABLE, ResponseRule.NOTHING),
        ([visit(20, applies=False)], visit(20), [], Response.NOT_EVALUABLE, ResponseRule.MEASURED),
        ([visit(20)], visit(20, applies=False), [3], Response.NOT_EVALUABLE, ResponseRule.MEASURED),
    ],
)  # fmt: skip
def test_the_rule_that_holds_names_the_response(earlier, now, new, response, rule):
    verdict = judge(earlier, now, new_lesions_on_slices=new)
    assert (verdict.response, verdict.decided_by) == (response, rule)


def test_the_figures_are_told_against_baseline_and_nadir():
    earlier = [visit(20, 10, job="a"), visit(12, 8, job="b"), visit(14, 8, job="c")]
    verdict = judge(earlier, visit(16, 8), new_lesions_on_slices=[])
    assert (verdict.baseline_sum_mm, verdict.nadir_sum_mm, verdict.sum_mm) == (30, 20, 24)
    assert verdict.nadir_job_id == "b"
    assert verdict.change_from_baseline_percent == pytest.approx(-20)
    assert verdict.change_from_nadir_percent == pytest.approx(20)
    assert verdict.largest_growth_mm == pytest.approx(4)


def test_parts_of_a_target_are_added_and_what_grew_together_counts_once():
    fell_apart = visit(8, 7, targets={1: (1, 2)})
    assert judge([visit(20)], fell_apart, new_lesions_on_slices=[]).sum_mm == 15
    together = visit(22, targets={1: (1,), 2: (1,)})
    assert judge([visit(20, 10)], together, new_lesions_on_slices=[]).sum_mm == 22
