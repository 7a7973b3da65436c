"""Ellipsoids whose volume and in-plane diameters are known to the last digit, in grids of every orientation."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from phantoms import ORIENTATIONS, affine_of, centred
from scipy.spatial.transform import Rotation

from metseg.imaging.volume import Volume

TILT_RAD = 0.35


@dataclass(frozen=True, eq=False)
class Solid:
    """A rasterised ellipsoid with the truth about it."""

    mask: Volume
    volume_mm3: float
    longest_mm: float
    perpendicular_mm: float


def random_solids(count: int, seed: int) -> Iterator[Solid]:
    """Solids of 10 to 40 mm on oblique grids with voxels of 0.5 to 1 mm, each orientation in its turn."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        codes = ORIENTATIONS[number % len(ORIENTATIONS)]
        spacing = rng.uniform(0.5, 1.0, 3)
        turn = Rotation.from_rotvec(rng.uniform(-TILT_RAD, TILT_RAD, 3)).as_matrix()
        axes = Rotation.random(random_state=rng).as_matrix()
        radii = rng.uniform(5, 20, 3)
        shape = tuple(np.ceil(2 * (radii.max() + 1) / spacing).astype(int) + 2)
        affine = centred(affine_of(codes, tuple(spacing), turn), shape, rng.uniform(-0.5, 0.5, 3) * spacing)
        yield _solid(shape, affine, axes / radii)


def _solid(shape: tuple[int, int, int], affine: NDArray[np.float64], to_ball: NDArray[np.float64]) -> Solid:
    """The ellipsoid around the origin that `point @ to_ball` turns into the unit ball."""
    indices = np.moveaxis(np.indices(shape, dtype=np.float64), 0, -1)
    within = indices @ (affine[:3, :3].T @ to_ball) + affine[:3, 3] @ to_ball
    mask = Volume((np.square(within).sum(axis=-1) <= 1).astype(np.uint8), affine)
    across = next(axis for axis, code in enumerate(mask.orientation) if code in "SI")
    plane, _ = np.linalg.qr(np.delete(affine[:3, :3], across, axis=1))
    section = plane.T @ to_ball @ to_ball.T @ plane
    longest, perpendicular = 2 / np.sqrt(np.linalg.eigvalsh(section))
    volume_mm3 = 4 / 3 * np.pi / abs(np.linalg.det(to_ball))
    return Solid(mask, float(volume_mm3), float(longest), float(perpendicular))
