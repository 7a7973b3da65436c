"""Where the head of a scan lies: the plane that parts left from right, and the head's surface.

Both come from the grey values alone, at a coarse resolution. The plane is that of the best mirror symmetry,
searched from coarse to fine. The surface is the skin, or that of the brain where the skull was cut away.
"""

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from metseg.imaging.volume import Volume, project
from metseg.inference.preprocessing import HEAD_FRACTION

BLOCK_MM: Final = 3.0
"""Voxels are averaged to blocks of about this size."""
MOST_POINTS: Final = 4000
FIRST_STEP: Final = (0.15, 0.15, 4.0)
"""Slopes of the plane towards front and head, and millimetres aside."""
FIRST_REACH: Final = (2, 2, 3)
"""So many of these steps to either side: 17 degrees and 12 mm."""
HALVINGS: Final = 6
BRIGHTEST: Final = 98
"""Percentile of the head above which all is equally bright: vessels and fat are no guide."""
MOST_HEAD: Final = 0.9
"""Share of the scan that may be head where its surface is seen."""
LEAST_COMMON: Final = 0.6
"""Share of the head whose mirror image must lie within the scan."""

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Plane:
    """A plane between left and right, in RAS+ millimetres.

    Attributes:
        normal: Unit vector towards the patient's right.
        offset_mm: Of the plane's points along it.
        similarity: Correlation of the head with its mirror image, -1 to 1.
    """

    normal: tuple[float, float, float]
    offset_mm: float
    similarity: float

    def right_mm(self, points_mm: Points) -> Points:
        """How far (n, 3) points lie to the right; negative to the left."""
        return project(points_mm, np.array(self.normal))[:, 0] - self.offset_mm


@dataclass(frozen=True, eq=False)
class Head:
    """A head in blocks of voxels.

    Attributes:
        grey: Means of the blocks, in RAS+ order.
        inside: (x, y, z) of those: the head with what it surrounds.
    """

    grey: Volume
    inside: NDArray[np.bool_]

    @property
    def width_mm(self) -> float:
        """From left to right."""
        return float(self.inside.any(axis=(1, 2)).sum()) * self.grey.spacing_mm[0]

    @property
    def has_surface(self) -> bool:
        """Whether there is a head, and air around it."""
        return 0 < float(self.inside.mean()) <= MOST_HEAD


def find_head(scan: Volume) -> Head:
    """The head of a scan: the largest bright part, with all between its sides; empty where nothing is brighter."""
    grey = _blocks(scan.to_ras())
    low, high = np.percentile(grey.array, (2, 98))
    bright = grey.array > low + HEAD_FRACTION * (high - low)
    parts, _ = ndimage.label(bright)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest = bright & (parts == sizes.argmax())
    return Head(grey, _between(largest, 0) & _between(largest, 1))


def middle_plane(head: Head) -> Plane:
    """The plane of the best mirror symmetry near the head's middle; look at its `similarity`."""
    places = np.argwhere(head.inside)
    points = head.grey.world(places[:: len(places) // MOST_POINTS + 1])
    step, best = np.array(FIRST_STEP), np.zeros(3)
    similarity = _Similarity(head, points)
    reaches = [FIRST_REACH, *[(1, 1, 1)] * HALVINGS]
    for reach in reaches:
        steps = product(*(range(-most, most + 1) for most in reach))
        best = max((best + step * one for one in steps), key=similarity)
        step = step / 2
    normal = _normal(best)
    x, y, z = normal.tolist()
    return Plane((x, y, z), float(project(similarity.middle, normal)[0] + best[2]), similarity(best))


def surface_mm(head: Head, points_mm: Points) -> tuple[Points, Points]:
    """How far (n, 3) points lie from the surface of the head, and from where the scan ends; 0 outside.

    The surface between the middles of a block inside and one outside is taken to lie halfway.
    """
    spacing = head.grey.spacing_mm
    to_air = np.asarray(ndimage.distance_transform_edt(head.inside, spacing))
    ends = np.pad(np.ones(head.inside.shape, bool), 1)
    to_end = np.asarray(ndimage.distance_transform_edt(ends, spacing))[1:-1, 1:-1, 1:-1]
    places = head.grey.voxel(points_mm).T
    distances = [ndimage.map_coordinates(one, places, order=1, mode="nearest") for one in (to_air, to_end)]
    surface, end = (np.maximum(one - np.mean(spacing) / 2, 0) for one in distances)
    return surface, end


class _Similarity:
    """How alike a head is to its mirror image, for a plane through a place beside its middle."""

    def __init__(self, head: Head, points: Points) -> None:
        self.middle = points.mean(axis=0)
        self._head, self._points = head, points
        self._brightest = float(np.percentile(head.grey.array[head.inside], BRIGHTEST))
        self._values = self._at(head.grey.voxel(points))

    def __call__(self, slopes_and_shift: Points) -> float:
        normal = _normal(slopes_and_shift)
        aside = project(self._points - self.middle, normal)[:, 0] - slopes_and_shift[2]
        places = self._head.grey.voxel(self._points - 2 * aside[:, None] * normal)
        common = ((places >= 0) & (places <= np.array(self._head.inside.shape) - 1)).all(axis=1)
        if common.mean() < LEAST_COMMON:
            return -1.0
        here, there = self._values[common], self._at(places[common])
        spread = float(here.std() * there.std())
        return float(np.mean((here - here.mean()) * (there - there.mean()))) / spread if spread else -1.0

    def _at(self, places: Points) -> Points:
        values = ndimage.map_coordinates(self._head.grey.array, places.T, order=1, output=np.float64)
        return np.asarray(np.minimum(values, self._brightest))


def _normal(slopes_and_shift: Points) -> Points:
    normal = np.array((1.0, *slopes_and_shift[:2]))
    return np.asarray(normal / np.linalg.norm(normal))


def _blocks(volume: Volume) -> Volume:
    """Means of blocks; what is left at the far ends is dropped."""
    sides = [
        min(max(1, round(BLOCK_MM / mm)), size) for mm, size in zip(volume.spacing_mm, volume.shape, strict=True)
    ]
    counts = [size // side for size, side in zip(volume.shape, sides, strict=True)]
    whole = volume.array[tuple(slice(count * side) for count, side in zip(counts, sides, strict=True))]
    parts = [number for pair in zip(counts, sides, strict=True) for number in pair]
    to_voxel = np.diag((*sides, 1.0))
    to_voxel[:3, 3] = (np.array(sides) - 1) / 2
    return Volume(whole.reshape(parts).mean(axis=(1, 3, 5), dtype=np.float32), volume.affine @ to_voxel)


def _between(inside: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """From the first to the last along an axis."""
    begun = np.maximum.accumulate(inside, axis=axis)
    ended = np.flip(np.maximum.accumulate(np.flip(inside, axis), axis=axis), axis)
    return np.asarray(begun & ended)
