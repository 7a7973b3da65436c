"""Lesion shapes whose volume is known by construction, and how much of each voxel they fill."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metseg_trainer.phantom.presets import LesionKind

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LesionShape:
    """A ball, stretched to an ellipsoid and deformed by low-frequency waves, of exactly known volume.

    In coordinates relative to `centre_mm` that the volume-preserving `squeeze` turns the ellipsoid into a
    ball, the surface lies at `radius * exp(waves(direction))`, scaled so that the volume is that of a ball
    of `diameter_mm`. The rim of a ring or cyst is measured inwards from the surface, its thickness varying
    with the direction.

    Attributes:
        kind: Solid, ring or cystic.
        centre_mm: Point from which the surface is drawn, in grid millimetres.
        diameter_mm: Diameter of the ball of equal volume.
        rim_mm: Usual thickness of the rim; beyond the centre for a solid one.
        squeeze: (3, 3) matrix with determinant 1.
        wave_vectors: (k, 3) wave vectors on the unit sphere.
        wave_phases: (k,) phases.
        wave_heights: (k,) amplitudes of the surface.
        rim_heights: (k,) amplitudes of the rim's thickness, in log units.
    """

    kind: LesionKind
    centre_mm: Points
    diameter_mm: float
    rim_mm: float
    squeeze: Points
    wave_vectors: Points
    wave_phases: Points
    wave_heights: Points
    rim_heights: Points

    @property
    def volume_mm3(self) -> float:
        """Volume by construction, rim and core together."""
        return float(np.pi / 6 * self.diameter_mm**3)

    @functools.cached_property
    def reach_mm(self) -> float:
        """No point of the lesion is farther from `centre_mm` than this."""
        return float(np.linalg.norm(self._surface, axis=1).max()) * 1.05

    @functools.cached_property
    def centroid_mm(self) -> Points:
        """Centre of mass by quadrature over the sphere, in grid millimetres."""
        directions = _sphere()
        radii = self._radii(directions)
        mean = (directions * radii[:, None] ** 4).mean(axis=0) / (radii**3).mean() * 0.75
        return np.asarray(self.centre_mm + np.linalg.solve(self.squeeze, mean), dtype=np.float64)

    @functools.cached_property
    def _scale(self) -> float:
        return self.diameter_mm / 2 / float(np.cbrt(np.exp(3 * self._outline(_sphere())).mean()))

    @functools.cached_property
    def _surface(self) -> Points:
        directions = _sphere()
        points = directions * self._radii(directions)[:, None]
        return np.asarray(np.einsum("nk,jk->nj", points, np.linalg.inv(self.squeeze)), dtype=np.float64)

    def fill(self, points_mm: Points) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Tell which of (n, 3) grid millimetres lie in the lesion, and which of them in its core."""
        squeezed = np.einsum("nk,jk->nj", points_mm - self.centre_mm, self.squeeze)
        distance = np.linalg.norm(squeezed, axis=1)
        directions = squeezed / np.maximum(distance, 1e-9)[:, None]
        radii = self._radii(directions)
        uneven = _waves(directions, 0.7 * self.wave_vectors[::-1], 2 * self.wave_phases, self.rim_heights)
        return distance <= radii, distance <= radii - self.rim_mm * np.exp(np.clip(uneven, -0.8, 0.8))

    def longest_axial_mm(self, samples: int = 40) -> float:
        """Longest extent within any plane of constant z, from the shape voxelised `samples` to a diameter."""
        step = self.diameter_mm / samples
        line = np.arange(-self.reach_mm, self.reach_mm + step, step)
        grid = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
        inside = grid[self.fill(grid + self.centre_mm)[0]]
        inside = inside[np.argsort(inside[:, 2], kind="stable")]
        starts = np.flatnonzero(np.diff(inside[:, 2], prepend=-np.inf))
        angles = np.deg2rad(np.arange(0, 180, 5))
        along = np.outer(np.cos(angles), inside[:, 0]) + np.outer(np.sin(angles), inside[:, 1])
        extent = np.maximum.reduceat(along, starts, axis=1) - np.minimum.reduceat(along, starts, axis=1)
        return float(extent.max() + step)

    def _outline(self, directions: Points) -> Points:
        return _waves(directions, self.wave_vectors, self.wave_phases, self.wave_heights)

    def _radii(self, directions: Points) -> Points:
        radii: Points = self._scale * np.exp(self._outline(directions))
        return radii


def draw_shape(rng: np.random.Generator, kind: LesionKind, centre_mm: Points, diameter_mm: float) -> LesionShape:
    """Draw the outline and the rim of a lesion; one in six is a perfect ball."""
    ball = rng.random() < 1 / 6
    count = 7
    stretch = np.zeros(3) if ball else rng.normal(0, 0.12, 3)
    turn = rotation(rng.uniform(-np.pi, np.pi, 3))
    squeeze = turn.T @ np.diag(np.exp(stretch - stretch.mean())) @ turn
    vectors = rng.standard_normal((count, 3))
    vectors *= rng.uniform(1.5, 4.0, (count, 1)) / np.linalg.norm(vectors, axis=1, keepdims=True)
    heights = np.zeros(count) if ball else rng.normal(0, rng.uniform(0.01, 0.09), count)
    rim_heights = rng.normal(0, rng.uniform(0.02, 0.3), count) * (not ball)
    rim = {
        LesionKind.SOLID: 3 * diameter_mm,
        LesionKind.RING: np.clip(diameter_mm * rng.uniform(0.12, 0.25), 1.2, 5.0),
        LesionKind.CYSTIC: np.clip(diameter_mm * rng.uniform(0.05, 0.1), 0.8, 1.8),
    }[kind]
    phases = rng.uniform(0, 2 * np.pi, count)
    return LesionShape(kind, centre_mm, diameter_mm, float(rim), squeeze, vectors, phases, heights, rim_heights)


def rotation(angles: Points) -> Points:
    """Make the matrix that turns about x, then y, then z by `angles` in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    turn: Points = about_z @ about_y @ about_x
    return turn


def _waves(directions: Points, vectors: Points, phases: Points, heights: Points) -> Points:
    """Add plane waves at (n, 3) unit vectors."""
    total = np.zeros(len(directions))
    for vector, phase, height in zip(vectors, phases, heights, strict=True):
        if height != 0:
            total += height * np.sin(np.einsum("nk,k->n", directions, vector) + phase)
    return total


@functools.cache
def _sphere(count: int = 3000) -> Points:
    """Evenly spread unit vectors (the Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z = 1 - 2 * index / count
    turn = index * np.pi * (1 + 5**0.5)
    ring = np.sqrt(1 - z**2)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=1)
