"""How far apart the surfaces of two masks are.

Both figures are those of Nikolov et al., 2018, as the organisers of BraTS use them: each surface is a set of
elements at the corners between voxels, weighted by their size (`metseg_trainer.metrics.surface_elements`), and
each element's distance is that to the nearest element of the other surface.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from metseg_trainer.metrics.surface_elements import corner_places, surface_elements

Spacing = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Surface:
    """The surface of one mask.

    Attributes:
        corners: (n, axes) integers; corner 0 lies half a voxel before the first voxel's centre.
        sizes: (n,) mm² each, or mm of outline for a mask of one slice.
        spacing: Distance of corners along each of the axes, in mm.
    """

    corners: NDArray[np.intp]
    sizes: NDArray[np.float64]
    spacing: tuple[float, ...]

    def distances_to(self, other: "Surface") -> NDArray[np.float64]:
        """Return each element's distance to the nearest of another surface in mm; infinite where that is empty."""
        if not len(self.corners) or not len(other.corners):
            return np.full(len(self.corners), np.inf)
        steps = np.array(self.spacing)
        tree = KDTree(other.corners * steps, balanced_tree=False, compact_nodes=False)
        _, nearest = tree.query(self.corners * steps)
        away = (self.corners - other.corners[nearest]) * steps
        return np.asarray(np.sqrt((away**2).sum(axis=1)))


@dataclass(frozen=True, eq=False)
class SurfacePair:
    """Two surfaces with the distances from each to the other."""

    truth: Surface
    predicted: Surface
    from_truth: NDArray[np.float64]
    from_predicted: NDArray[np.float64]

    @property
    def hausdorff95(self) -> float:
        """The larger of the two 95th percentiles of distances, in mm, each weighted by the elements' sizes.

        0 where both surfaces are empty, infinite where one of them is.
        """
        if not len(self.from_truth) and not len(self.from_predicted):
            return 0.0
        return max(
            _weighted_percentile(self.from_truth, self.truth.sizes),
            _weighted_percentile(self.from_predicted, self.predicted.sizes),
        )

    def dice_within(self, tolerance_mm: float) -> float:
        """Share of both surfaces that lies at most so far from the other.

        1 where both surfaces are empty, 0 where one of them is.
        """
        total = self.truth.sizes.sum() + self.predicted.sizes.sum()
        if not total:
            return 1.0
        near = self.truth.sizes[self.from_truth <= tolerance_mm].sum()
        near += self.predicted.sizes[self.from_predicted <= tolerance_mm].sum()
        return float(near / total)


def compare_surfaces(truth: NDArray[np.bool_], predicted: NDArray[np.bool_], spacing: Spacing) -> SurfacePair:
    """Measure the distances between the surfaces of two masks.

    Args:
        truth: (x, y, z); of one slice alone the outline is taken, not the faces above and below it.
        predicted: The same shape.
        spacing: In mm, or 1 for pixels.
    """
    one, other = find_surface(truth, spacing), find_surface(predicted, spacing)
    return SurfacePair(one, other, one.distances_to(other), other.distances_to(one))


def find_surface(mask: NDArray[np.bool_], spacing: Spacing) -> Surface:
    """Find a mask's surface, or its outline where it has one slice."""
    axes = 2 if mask.shape[2] == 1 else 3
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes:
        return Surface(np.zeros((0, axes), np.intp), np.zeros(0), spacing[:axes])
    box = boxes[0]
    inside = np.pad(mask[box].reshape([part.stop - part.start for part in box[:axes]]), 1).astype(np.uint8)
    lattice = tuple(n - 1 for n in inside.shape)
    patterns = np.zeros(lattice, np.uint8)
    for bit, place in enumerate(corner_places(axes)):
        shifted = tuple(slice(start, start + n) for start, n in zip(place, lattice, strict=True))
        patterns |= inside[shifted] << bit
    sizes = surface_elements(spacing[:axes])
    corners = np.argwhere((patterns > 0) & (patterns < len(sizes) - 1))
    found = sizes[patterns[tuple(corners.T)]]
    return Surface(corners + [part.start for part in box[:axes]], found, spacing[:axes])


def _weighted_percentile(distances: NDArray[np.float64], sizes: NDArray[np.float64], share: float = 0.95) -> float:
    """Return the smallest distance that covers the share of the surface; infinite where there is none."""
    if not len(distances):
        return np.inf
    order = np.lexsort((sizes, distances))
    covered = np.cumsum(sizes[order]) / np.sum(sizes[order])
    index = min(int(np.searchsorted(covered, share)), len(order) - 1)
    return float(distances[order][index])
