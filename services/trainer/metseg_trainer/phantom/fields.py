"""Smooth random fields on a regular grid, cheap enough for a whole head."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def smooth_field(rng: np.random.Generator, shape: tuple[int, int, int], knots: int) -> Array:
    """Draw a field of mean 0 and deviation about 1 that varies over `shape / knots` voxels.

    Args:
        rng: Source of the random numbers.
        shape: Grid of the field.
        knots: Random values along the longest axis; the other axes get as many as keep them cubic.

    Returns:
        float32 array of `shape`, cosine-interpolated between the knots.
    """
    counts = [max(2, round(knots * n / max(shape)) + 1) for n in shape]
    field = rng.standard_normal(counts, dtype=np.float32) * np.float32(1.5)
    for axis in (2, 1, 0):
        positions = np.linspace(0, counts[axis] - 1, shape[axis])
        below = np.floor(positions)
        field = interpolated(field, axis, below + (1 - np.cos(np.pi * (positions - below))) / 2)
    return field


def interpolated(array: Array, axis: int, positions: NDArray[np.float64]) -> Array:
    """Interpolate linearly along one axis at fractional indices, the ends held.

    Takes and adds rather than multiplying matrices, so that no threads fight over a busy machine's cores.
    """
    count = array.shape[axis]
    held = np.clip(positions, 0, count - 1)
    below = np.minimum(held.astype(int), max(count - 2, 0))
    share = (held - below).astype(np.float32).reshape([-1 if k == axis else 1 for k in range(array.ndim)])
    first = np.take(array, below, axis)
    result: Array = np.take(array, np.minimum(below + 1, count - 1), axis)
    result -= first
    result *= share
    result += first
    return result
