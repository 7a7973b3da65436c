"""How much of each pixel of a slab a lesion fills."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from metseg_trainer.implants.shapes import NO_RIM, Outline, Points

Field = NDArray[np.float32]
Spacing = tuple[float, float, float]

MOST_STEPS = 20
MOST_STEPS_CHAMBERS = 44
"""Points along an axis at which a shape is evaluated, of several chambers with thin walls between them the latter;
between the points its distances are interpolated."""


@dataclass(frozen=True)
class Box:
    """A part of a slab in pixels, from `low` to below `high` along x and y."""

    low: tuple[int, int]
    high: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Sides in pixels."""
        return (self.high[0] - self.low[0], self.high[1] - self.low[1])

    @property
    def index(self) -> tuple[slice, slice]:
        """Index of the part in an array (x, y, …)."""
        return slice(self.low[0], self.high[0]), slice(self.low[1], self.high[1])


@dataclass(frozen=True, eq=False)
class Placed:
    """A lesion at its place in a slab.

    Attributes:
        outline: Its shape.
        centre_px: Where its origin lies in the plane.
        depth_mm: How far above the middle slice its origin lies.
    """

    outline: Outline
    centre_px: tuple[float, float]
    depth_mm: float


def box_around(centre_px: tuple[float, float], reach_px: Sequence[float], shape: tuple[int, ...]) -> Box:
    """Return the pixels within a reach of a point, cut to the slab; empty where there are none."""
    low = [int(np.clip(np.floor(c - r), 0, n)) for c, r, n in zip(centre_px, reach_px, shape, strict=False)]
    high = [int(np.clip(np.ceil(c + r) + 1, 0, n)) for c, r, n in zip(centre_px, reach_px, shape, strict=False)]
    return Box((low[0], low[1]), (max(high[0], low[0]), max(high[1], low[1])))


def coverage(placed: Placed, box: Box, spacing_mm: Spacing, slices: int) -> tuple[Field, Field]:
    """Measure which share of each pixel is lesion, and which is a core that does not enhance.

    A slice is as thick as the distance between slices. The shape's distances are evaluated at few points and
    interpolated to subpixels, of which each counts by the share of it that lies inside.

    Returns:
        Both shares, 0 to 1, (x, y, slice) in the box.
    """
    outline = placed.outline
    layers = int(np.clip(np.ceil(spacing_mm[2] / max(0.8, outline.diameter_mm / 12)), 1, 5))
    cuts = 4 if outline.diameter_mm < 12 else 3 if outline.diameter_mm < 25 else 2
    points, counts = _points(placed, box, spacing_mm, slices, layers)
    whole, core = outline.distances(points)
    fine_mm = float(np.sqrt(spacing_mm[0] * spacing_mm[1])) / cuts
    shares = _shares(whole, counts, box, cuts, fine_mm).reshape(*box.size, slices, layers).mean(axis=3)
    if outline.rim_mm >= NO_RIM:
        return shares, np.zeros_like(shares)
    inner = _shares(core, counts, box, cuts, fine_mm).reshape(*box.size, slices, layers).mean(axis=3)
    return shares, np.minimum(inner, shares)


def distance(placed: Placed, box: Box, spacing_mm: Spacing, slices: int) -> Field:
    """Measure how many mm outside of a lesion the middle of each pixel lies, (x, y, slice)."""
    points, counts = _points(placed, box, spacing_mm, slices, 1)
    whole, _ = placed.outline.distances(points)
    field = whole.reshape(*counts, slices)
    return _resized(field, box.size, cv2.INTER_LINEAR)


def _points(
    placed: Placed, box: Box, spacing_mm: Spacing, slices: int, layers: int
) -> tuple[Points, tuple[int, int]]:
    """Spread points over the box and over `layers` to a slice, in mm around the lesion's origin."""
    most = MOST_STEPS if len(placed.outline.balls.radii) == 1 else MOST_STEPS_CHAMBERS
    counts = (min(box.size[0] * 2, most), min(box.size[1] * 2, most))
    lines = [
        ((np.arange(n) + 0.5) * (size / n) - 0.5 + low - centre) * spacing
        for n, size, low, centre, spacing in zip(
            counts, box.size, box.low, placed.centre_px, spacing_mm[:2], strict=True
        )
    ]
    count = slices * layers
    heights = ((np.arange(count) + 0.5) / layers - slices / 2) * spacing_mm[2] - placed.depth_mm
    grid = np.stack(np.meshgrid(*lines, heights, indexing="ij"), axis=-1)
    return grid.reshape(-1, 3).astype(np.float32), counts


def _shares(distances: Points, counts: tuple[int, int], box: Box, cuts: int, fine_mm: float) -> Field:
    """Average over subpixels the share that lies at negative distances, (x, y, layer)."""
    layers = len(distances) // (counts[0] * counts[1])
    fine = (box.size[0] * cuts, box.size[1] * cuts)
    field = distances.reshape(*counts, layers)
    subpixels = _resized(field, fine, cv2.INTER_LINEAR)
    subpixels *= np.float32(-1 / fine_mm)
    subpixels += np.float32(0.5)
    np.clip(subpixels, 0, 1, out=subpixels)
    return _resized(subpixels, box.size, cv2.INTER_AREA)


def _resized(field: Field, size: tuple[int, int], interpolation: int) -> Field:
    """Bring (x, y, layer) to another size in x and y."""
    resized = cv2.resize(field, size[::-1], interpolation=interpolation)
    return np.asarray(resized, dtype=np.float32).reshape(*size, field.shape[2])
