"""What a follow-up is told as."""

import pytest
from follow_ups import follow_up

from metseg.response.text import cells_of, sum_lines


@pytest.mark.parametrize(
    ("change", "told"), [(49.6, "+50 %"), (-12.2, "-12 %"), (0, "0 %"), (-0.001, "0 %"), (None, "-")]
)
def test_a_change_has_a_sign_unless_it_rounds_to_nothing(change: float | None, told: str) -> None:
    grown = follow_up().comparisons[0].changes[0].model_copy(update={"longest_change_percent": change})
    assert cells_of(grown)[-1] == told


@pytest.mark.parametrize(("growth", "told"), [(2.5, "+2.5 mm"), (-3.04, "-3.0 mm"), (-1e-4, "0.0 mm")])
def test_the_target_that_grew_most_may_have_shrunk(growth: float, told: str) -> None:
    told_before = follow_up()
    verdict = told_before.verdict.model_copy(update={"largest_growth_mm": growth})
    [sums, longest] = sum_lines(told_before.model_copy(update={"verdict": verdict}))
    assert "12.5 mm (+20 %)" in sums
    assert longest == f"Longest diameter of the target that grew most since then: {told}."
