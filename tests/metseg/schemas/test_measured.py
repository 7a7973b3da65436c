"""Measured numbers carry ten digits, so that the same result is the same to the byte in every process."""

import pytest

from metseg.schemas.measured import to_ten_digits
from metseg.schemas.report import HeadInfo


@pytest.mark.parametrize(
    ("one", "other"), [(13.416407864998737, 13.416407864998735), (0.14092709650202906, 0.1409270965020326)]
)
def test_noise_of_the_last_digits_does_not_reach_a_report(one: float, other: float):
    assert HeadInfo(midplane_offset_mm=one) == HeadInfo(midplane_offset_mm=other)
    assert HeadInfo().updated(midplane_offset_mm=one) == HeadInfo(midplane_offset_mm=other)


def test_ten_digits_are_kept():
    assert to_ten_digits(-0.00012345678904) == -0.0001234567890
    assert to_ten_digits(123456.7890512) == 123456.7891
    assert to_ten_digits(0.0) == 0.0
