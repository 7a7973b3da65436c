"""How large an input may be before it is refused."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadLimits:
    """Bounds for reading one file.

    Attributes:
        max_voxels: 3-D images; 2²⁷ is 512 slices of 512×512.
        max_pixels: Pictures.
        min_side: Fewest voxels along the sides of a slice.
    """

    max_voxels: int = 1 << 27
    max_pixels: int = 64_000_000
    min_side: int = 16


DEFAULT_LIMITS = ReadLimits()
"""What is read where nothing else is said."""
