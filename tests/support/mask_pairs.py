"""Random truths and predictions of many kinds, the same for each seed."""

import numpy as np
from numpy.typing import NDArray

SPACINGS = ((1.0, 1.0, 1.0), (0.94, 0.94, 2.0), (0.5, 0.5, 5.0), (1.2, 0.8, 1.1), (3.0, 1.0, 0.7))

Mask = NDArray[np.bool_]


def make_mask_pair(seed: int) -> tuple[Mask, Mask, tuple[float, float, float]]:
    """Make a truth, a prediction and their spacing: lesions that touch, tiny ones, none, false and missed ones."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers((14, 14, 5), (36, 36, 20)))
    truth, predicted = np.zeros(shape, bool), np.zeros(shape, bool)
    for _ in range(int(rng.integers(0, 7))):
        lesion = _shape(rng, shape)
        fate = rng.integers(0, 6)
        if fate != 0:
            truth |= lesion
        if fate != 1:
            predicted |= _changed(rng, lesion)
    if seed % 10 == 3:
        truth[:] = False
    if seed % 10 == 7:
        predicted[:] = False
    if seed % 4 == 0:
        predicted |= rng.random(shape) < 0.002
    if seed % 5 == 0:
        truth |= rng.random(shape) < 0.001
    return truth, predicted, SPACINGS[seed % len(SPACINGS)]


def _shape(rng: np.random.Generator, shape: tuple[int, ...]) -> Mask:
    """A ball, a box, a voxel or a pair of balls that nearly touch."""
    kind = rng.integers(0, 4)
    centre, radii = rng.uniform(1, np.array(shape) - 2), rng.uniform(0.8, 5.0, 3)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    if kind == 0:
        return np.asarray((np.abs(grid - centre) <= radii).all(axis=-1))
    if kind == 1:
        return np.asarray((grid == np.rint(centre)).all(axis=-1))
    balls = np.linalg.norm((grid - centre) / radii, axis=-1) <= 1
    if kind == 2:
        apart = np.array([2 * radii[0] + rng.integers(0, 4), 0, 0])
        balls |= np.linalg.norm((grid - centre - apart) / radii, axis=-1) <= 1
    return np.asarray(balls)


def _changed(rng: np.random.Generator, lesion: Mask) -> Mask:
    """The lesion as it is, shifted, thinned out or cut in two."""
    kind = rng.integers(0, 4)
    if kind == 1:
        return np.roll(lesion, tuple(int(n) for n in rng.integers(-2, 3, 3)), axis=(0, 1, 2))
    if kind == 2:
        return lesion & (rng.random(lesion.shape) < 0.7)
    if kind == 3:
        cut = lesion.copy()
        cut[lesion.shape[0] // 2] = False
        return cut
    return lesion
