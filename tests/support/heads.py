"""Heads whose every point is known, seen by scanners of any grid and position, with bright balls for lesions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from phantoms import affine_of, centred
from scipy.spatial.transform import Rotation

from metseg.imaging.volume import Volume

RADII_MM = np.array([66.0, 84.0, 70.0])
LESION_GREY = 1000

Ball = tuple[tuple[float, float, float], float]
"""Middle in millimetres of the head, and radius."""


def motion(degrees: float, axis: tuple[float, float, float], shift_mm: tuple[float, float, float]):
    """(4, 4): turn about the head's middle, then shift."""
    matrix = np.eye(4)
    direction = np.array(axis) / np.linalg.norm(axis)
    matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(degrees) * direction).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


def head(
    spacing_mm: tuple[float, float, float],
    balls: Sequence[Ball] = (),
    *,
    pose: NDArray[np.float64] | None = None,
    seed: int = 0,
) -> Volume:
    """A scan of the head.

    Args:
        spacing_mm: Of its grid, whose axes run to R, A and S.
        balls: Lesions.
        pose: Takes millimetres of the head to those of the scanner.
        seed: Of the noise.
    """
    pose = np.eye(4) if pose is None else pose
    shape = tuple(np.ceil(np.array([180.0, 210.0, 190.0]) / spacing_mm).astype(int).tolist())
    affine = centred(affine_of(("R", "A", "S"), spacing_mm), shape, pose[:3, 3])
    back = np.linalg.inv(pose) @ affine
    points = np.moveaxis(np.indices(shape, dtype=np.float32), 0, -1) @ back[:3, :3].T.astype(np.float32)
    points += back[:3, 3].astype(np.float32)
    grey = _anatomy(points)
    grey += np.random.default_rng(seed).normal(0, 3, shape).astype(np.float32)
    for middle, radius in balls:
        grey[np.square(points - np.float32(middle)).sum(axis=-1) <= radius**2] = LESION_GREY
    return Volume(np.clip(np.rint(grey), 0, 2000).astype(np.int16), affine)


def edge_points() -> NDArray[np.float64]:
    """Points on the surface of the head, (n, 3)."""
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(500, 3))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True) * RADII_MM


def _anatomy(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """A bright scalp, dark bone, and a brain with folds and two dark ventricles of different size."""
    x, y, z = np.moveaxis(points, -1, 0)
    depth = np.sqrt(np.square(points / RADII_MM.astype(np.float32)).sum(axis=-1))
    folds = np.sin(x / 7) * np.cos(y / 9) + np.sin(z / 6 + x / 11) + np.cos(y / 13 - z / 8)
    brain = 70 + 8 * folds
    brain[np.hypot((x - 12) / 8, np.hypot((y - 5) / 26, z / 10)) < 1] = 15
    brain[np.hypot((x + 12) / 6, np.hypot((y + 2) / 20, z / 9)) < 1] = 15
    return np.select([depth < 0.88, depth < 0.94, depth < 1], [brain, 5, 90], 0).astype(np.float32)
