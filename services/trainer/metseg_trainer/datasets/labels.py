"""What the values of a mask mean, and which of them count as lesion.

A scheme is asserted, never assumed: a value outside of it stops the run with a sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metseg.errors import InputError

MOST_NUMBERS = 65_535
MOST_SHOWN = 8


class Target(StrEnum):
    """What counts as lesion; `CLASSES` keeps the parts apart, for one-hot training."""

    LESION = "lesion"
    WHOLE_TUMOUR = "whole_tumour"
    TUMOUR_CORE = "tumour_core"
    ENHANCING = "enhancing"
    CLASSES = "classes"


class Rule(StrEnum):
    """How a mask's values are read."""

    TABLE = "table"
    ONE_VALUE = "one_value"
    NUMBERS = "numbers"


@dataclass(frozen=True)
class Labelling:
    """What the values of a mask mean, and which class each becomes.

    Attributes:
        scheme: The meaning of the values, for people.
        target: What counts as lesion.
        rule: `TABLE` allows the values of `classes` alone, `ONE_VALUE` 0 and one other value, which is lesion, and
            `NUMBERS` the same or lesions numbered from 1 to n.
        classes: With `TABLE`, (value, class) pairs; class 0 is background.
        names: Names of the classes from 1 on.
        brightest: With `TABLE`, the value that must be brighter in the image than all others, as contrast agent
            makes it; None where nothing can be said.
    """

    scheme: str
    target: Target = Target.LESION
    rule: Rule = Rule.TABLE
    classes: tuple[tuple[int, int], ...] = ()
    names: tuple[str, ...] = ("lesion",)
    brightest: int | None = None

    @property
    def lesion_classes(self) -> int:
        """Number of classes besides background."""
        return len(self.names)

    @property
    def channels(self) -> int:
        """What `build_network` takes as `classes`: 1 for a mask of one class, else background and each class."""
        return 1 if self.lesion_classes == 1 else self.lesion_classes + 1

    def values(self, array: NDArray[Any]) -> list[int]:
        """List the values of a mask, and check them against the scheme.

        Raises:
            InputError: A value is no whole number or not of the scheme; the message names scheme and values.
        """
        found = np.unique(array)
        whole = bool((found == np.rint(found)).all())
        values = [int(value) for value in found] if whole else []
        if not whole or not self._allows(values):
            shown = ", ".join(f"{value:g}" for value in found[:MOST_SHOWN].tolist())
            more = f" and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
            raise InputError(f"expected the values {self.scheme}; found {shown}{more}")
        return values

    def apply(self, array: NDArray[Any], values: list[int]) -> NDArray[np.uint8]:
        """Turn a mask's values, which `values` has listed, into classes, 0 for background."""
        if self.rule is not Rule.TABLE:
            return (array > 0).astype(np.uint8)
        table = np.zeros(max(values) + 1, np.uint8)
        for value, number in self.classes:
            if value < len(table):
                table[value] = number
        return np.asarray(table[array.astype(np.int32)])

    def _allows(self, values: list[int]) -> bool:
        if self.rule is Rule.TABLE:
            return set(values) <= {value for value, _ in self.classes}
        marked = [value for value in values if value != 0]
        if marked and (marked[0] < 0 or marked[-1] > MOST_NUMBERS):
            return False
        return len(marked) <= 1 or (self.rule is Rule.NUMBERS and marked == list(range(1, len(marked) + 1)))


NUMBERED = Labelling("0 background and one other value, or lesions numbered from 1 to n", rule=Rule.NUMBERS)

ONE_VALUE = Labelling("0 background and one other value", rule=Rule.ONE_VALUE)

BRATS_SCHEME = "0 background, 1 NETC, 2 SNFH, 3 ET, 4 RC"
"""Non-enhancing tumour core, surrounding non-enhancing FLAIR hyperintensity, enhancing tumour, resection cavity.

As in BraTS-METS 2023 (arXiv 2306.00838); RC came with the post-treatment scans of 2025 (arXiv 2504.12527)."""

NETC, SNFH, ET, RC = 1, 2, 3, 4


def brats_labelling(target: Target) -> Labelling:
    """Make the labelling of a BraTS mask: the regions are those of the challenge, and RC is never lesion."""
    regions = {
        Target.WHOLE_TUMOUR: {NETC: 1, SNFH: 1, ET: 1},
        Target.TUMOUR_CORE: {NETC: 1, ET: 1},
        Target.ENHANCING: {ET: 1},
        Target.CLASSES: {NETC: 1, SNFH: 2, ET: 3},
    }[target]
    classes = tuple((value, regions.get(value, 0)) for value in (0, NETC, SNFH, ET, RC))
    names = ("NETC", "SNFH", "ET") if target is Target.CLASSES else (target.value,)
    return Labelling(BRATS_SCHEME, target, classes=classes, names=names, brightest=ET)


BRATS: Mapping[Target, Labelling] = MappingProxyType(
    {
        target: brats_labelling(target)
        for target in (Target.TUMOUR_CORE, Target.WHOLE_TUMOUR, Target.ENHANCING, Target.CLASSES)
    }
)
"""By target; the first is used where none is named."""


def two_values(scheme: str, target: Target, value: int) -> Labelling:
    """Make the labelling of a mask of 0 and exactly one other value."""
    return Labelling(scheme, target, classes=((0, 0), (value, 1)), names=(target.value,))
