"""The type of measured numbers in reports."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

DIGITS: Final = 10


def to_ten_digits(value: float) -> float:
    """Round to ten significant digits: what lies beyond depends on the processor and on how it adds."""
    return float(f"{value:.{DIGITS}g}")


Measured = Annotated[float, AfterValidator(to_ten_digits)]
NotNegative = Annotated[float, Field(ge=0), AfterValidator(to_ten_digits)]
"""0 or more."""
Share = Annotated[float, Field(ge=0, le=1), AfterValidator(to_ten_digits)]
"""0 to 1."""
