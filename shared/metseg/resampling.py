"""Resampling along one axis as a sparse matrix, so that a grid change and its inverse are two products.

The kernel is a triangle (linear interpolation); going to a coarser grid it widens with the step, which keeps small
bright things from falling between samples. Both directions place voxel centres by the same rule, so a position in
millimetres is the same before and after, to rounding.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array


@dataclass(frozen=True)
class Axis:
    """Evenly spaced samples along one axis.

    Attributes:
        count: Number of samples.
        spacing: Distance between neighbours, in any unit that the two axes of a resampling share.
        start: Position of the first sample's centre, in the same unit.
    """

    count: int
    spacing: float
    start: float = 0.0

    @property
    def positions(self) -> NDArray[np.float64]:
        """Position of each sample's centre, shape `(count,)`."""
        return np.asarray(self.start + self.spacing * np.arange(self.count), dtype=np.float64)


def resampling_matrix(source: Axis, target: Axis) -> csr_array:
    """float32 weights `(target.count, source.count)` that take samples on `source` to samples on `target`.

    What lies beyond the source counts as 0: a row sums to 1 well inside of it and fades over its edge.
    """
    reach = max(1.0, target.spacing / source.spacing)
    at = (target.positions - source.start) / source.spacing
    nearest = np.arange(-np.ceil(reach), np.ceil(reach) + 1)
    around = np.floor(at)[:, None] + nearest
    weights = np.maximum(0.0, 1.0 - np.abs(around - at[:, None]) / reach)
    weights /= weights.sum(axis=1, keepdims=True)
    used = (weights > 0) & (around >= 0) & (around < source.count)
    row, _ = np.nonzero(used)
    values = weights[used].astype(np.float32)
    return csr_array((values, (row, around[used].astype(np.intp))), shape=(target.count, source.count))
