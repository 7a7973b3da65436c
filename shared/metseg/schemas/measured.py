"""The type of measured numbers in reports."""

from typing import Annotated, Final

from pydantic import AfterValidator

DIGITS: Final = 10


def to_ten_digits(value: float) -> float:
    """Round to ten significant digits: what lies beyond depends on the processor and on how it adds."""
    return float(f"{value:.{DIGITS}g}")


Measured = Annotated[float, AfterValidator(to_ten_digits)]
