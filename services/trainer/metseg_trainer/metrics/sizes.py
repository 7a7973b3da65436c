"""Classes of lesion size."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SizeClasses:
    """Classes between edges; a size on an edge belongs to the class above it.

    Attributes:
        edges: Rising.
        unit: Of the edges.
    """

    edges: tuple[float, ...]
    unit: str

    @property
    def names(self) -> list[str]:
        """One name a class, smallest first."""
        first, last = self.edges[0], self.edges[-1]
        between = [f"{a:g} to {b:g} {self.unit}" for a, b in zip(self.edges, self.edges[1:], strict=False)]
        return [f"below {first:g} {self.unit}", *between, f"{last:g} {self.unit} and more"]

    def group(self, sizes: Sequence[float]) -> list[int]:
        """Return the index of each size's class."""
        return [bisect_right(self.edges, size) for size in sizes]


BY_VOLUME = SizeClasses((27.0, 100.0, 275.0), "mm³")
"""The challenge's participants report these apart: small is below 27 mm³, and 275 mm³ is a ball of 8 mm."""

BY_DIAMETER = SizeClasses((5.0, 8.0, 15.0), "mm")
"""By the diameter of the ball of equal volume."""
