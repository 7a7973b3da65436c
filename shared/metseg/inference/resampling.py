"""Resampling along one axis as a sparse matrix, so that a grid change and its inverse are two products.

Values between samples are linear; going to a coarser grid they are averaged over a width that grows with the step,
which keeps small bright things from falling between samples. Both directions place voxel centres by the same rule
and keep a straight line straight, so a position in millimetres is the same before and after, to rounding.
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
    around = np.floor(at)[:, None] + np.arange(-np.ceil(reach), np.ceil(reach) + 1)
    weights = _weights(around - at[:, None], width=2 * (reach - 1))
    used = (weights > 0) & (around >= 0) & (around < source.count)
    row, _ = np.nonzero(used)
    values = weights[used].astype(np.float32)
    return csr_array((values, (row, around[used].astype(np.intp))), shape=(target.count, source.count))


def _weights(offset: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """The linear interpolant (a hat of half-width 1), averaged over `width` around the target's centre."""
    if width < 1e-6:
        return np.maximum(0.0, 1.0 - np.abs(offset))
    return np.asarray((_hat_integral(offset + width / 2) - _hat_integral(offset - width / 2)) / width)


def _hat_integral(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral of max(0, 1 - |s|) over s from -∞ to t."""
    inside = np.clip(t, -1, 1)
    return np.where(inside < 0, (inside + 1) ** 2 / 2, 1 - (1 - inside) ** 2 / 2)
