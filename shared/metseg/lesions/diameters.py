"""Diameters of a lesion as a reader measures them: two lines at right angles in one slice.

Distances run between the middles of the voxel edges on the outline, half a voxel beyond the outer centres, so a
single voxel is as long as its spacing. This is where the surface lies that marching cubes draws around a mask.
`docs/decisions/0016` compares it with voxel corners and centres.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from metseg.imaging.volume import project

Index = tuple[float, float, float]
"""A point as voxel indices of an array, whole numbers at the centres."""

TIE_MM = 1e-6
"""Lengths that differ by less are equal, whatever the rounding of the affine."""


@dataclass(frozen=True)
class Line:
    """A measured distance: where it begins and ends, and its length in mm."""

    start: Index
    end: Index
    length: float


@dataclass(frozen=True)
class Diameters:
    """The longest line across one slice of a lesion and the longest at right angles to it."""

    longest: Line
    perpendicular: Line
    slice_index: int


def in_plane_diameters(inside: NDArray[np.bool_], affine: NDArray[np.float64], slice_axis: int) -> Diameters:
    """Measure a lesion in the slice in which it is longest; of equal slices, in the one in which it is broadest.

    The longest line is the maximum Feret diameter of the slice: the greatest distance between two points of the
    outline. Its perpendicular is the longest chord of the outline's convex hull at right angles to it. Both are
    taken in millimetres, so they are true on oblique, anisotropic and sheared grids.

    Args:
        inside: (x, y, z), true inside of the lesion, somewhere at least.
        affine: (4, 4) of that array.
        slice_axis: The axis across the slices.
    """
    slices = np.moveaxis(inside, slice_axis, 0)
    axes = [axis for axis in range(3) if axis != slice_axis]
    plane = _flat(affine[:3, axes])
    found: list[Diameters] = []
    for index in np.flatnonzero(slices.any(axis=(1, 2))):
        ends = _measured(_outline(slices[index]), plane)
        longest, across = (_line(pair, plane, slice_axis, int(index)) for pair in ends)
        found.append(Diameters(longest, across, int(index)))
    most = max(one.longest.length for one in found)
    tied = [one for one in found if one.longest.length >= most - TIE_MM]
    return max(tied, key=lambda one: one.perpendicular.length)


def _flat(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, 2) that takes the two indices within a slice to millimetres in its plane.

    Args:
        edges: (3, 2), the steps of the two indices in space.
    """
    along = edges[:, 0] / np.linalg.norm(edges[:, 0])
    lean = float(edges[:, 1] @ along)
    rise = float(np.linalg.norm(edges[:, 1] - lean * along))
    return np.array(((np.linalg.norm(edges[:, 0]), lean), (0.0, rise)))


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Midpoints between each voxel of a slice and its neighbours outside, `(n, 2)` in voxel indices."""
    padded = np.pad(inside, 1).astype(np.int8)
    points = []
    for axis, half in ((0, (0.5, 0.0)), (1, (0.0, 0.5))):
        crossings = np.argwhere(np.diff(padded, axis=axis) != 0)
        points.append(crossings - 1 + np.array(half))
    return np.concatenate(points)


def _measured(
    outline: NDArray[np.float64], plane: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the longest line and of its perpendicular, each (2, 2) in mm in the plane."""
    hull = project(outline[ConvexHull(outline).vertices], *plane)  # the corners are the same in every affine frame
    apart = np.linalg.norm(hull[:, None] - hull[None], axis=-1)
    first, last = np.argwhere(apart >= apart.max() - TIE_MM)[0]
    longest = hull[[first, last]]
    along = (longest[1] - longest[0]) / apart[first, last]
    frame = np.stack((along, (-along[1], along[0])))
    chord = _longest_chord(project(hull, *frame), float(project(longest.mean(axis=0), along)[0]))
    return longest, project(chord, *frame.T)


def _longest_chord(hull: NDArray[np.float64], middle: float) -> NDArray[np.float64]:
    """Ends of the longest chord parallel to the second axis; of equal ones, of the one nearest to `middle`.

    A chord's length is a concave function of its place, linear between the corners, so the longest passes through
    a corner.

    Args:
        hull: (n, 2) corners of a convex polygon, the first coordinate along the longest line.
        middle: Where that line has its middle.
    """
    place, height = hull.T
    order = np.lexsort((height, place))
    first, last = hull[order[0]], hull[order[-1]]
    base = np.interp(place, (first[0], last[0]), (first[1], last[1]))
    above, below = (
        np.interp(place, *hull[order][side[order]].T)
        for side in (height >= base - TIE_MM, height <= base + TIE_MM)
    )
    length = above - below
    best = np.flatnonzero(length >= length.max() - TIE_MM)
    at = best[np.abs(place[best] - middle).argmin()]
    return np.array(((place[at], below[at]), (place[at], above[at])))


def _line(ends_mm: NDArray[np.float64], plane: NDArray[np.float64], slice_axis: int, index: int) -> Line:
    start, end = np.insert(project(ends_mm, *np.linalg.inv(plane)), slice_axis, index, axis=1).tolist()
    return Line(tuple(start), tuple(end), float(np.linalg.norm(ends_mm[1] - ends_mm[0])))
