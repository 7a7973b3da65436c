"""Lesion shapes whose volume is known by construction, and how much of each voxel they fill."""

import functools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metseg_trainer.phantom.interiors import Interior, draw_nodule, draw_septa
from metseg_trainer.phantom.presets import LesionKind

Points = NDArray[np.float64]

THIN_RIM_MM = (0.8, 1.8)
"""Of the cysts with a thin rim, wherever they have one."""

MOST_GAPS = 0.4
"""At most this share of such a cyst's surface has no rim."""

THIN_RIMMED = (LesionKind.THIN_CYST, LesionKind.NODULAR_CYST, LesionKind.MULTILOCULAR)


@dataclass(frozen=True, eq=False)
class LesionShape:
    """A ball, stretched to an ellipsoid and deformed by low-frequency waves, of exactly known volume.

    In coordinates relative to `centre_mm` that the volume-preserving `squeeze` turns the ellipsoid into a
    ball, the surface lies at `radius * exp(waves(direction))`, scaled so that the volume is that of a ball
    of `diameter_mm`. The rim of a ring or cyst is measured inwards from the surface, its thickness varying
    with the direction.

    Attributes:
        kind: How it enhances.
        centre_mm: Point from which the surface is drawn, in grid millimetres.
        diameter_mm: Diameter of the ball of equal volume.
        rim_mm: Usual thickness of the rim; beyond the centre for a solid one.
        squeeze: (3, 3) matrix with determinant 1.
        wave_vectors: (k, 3) wave vectors on the unit sphere.
        wave_phases: (k,) phases.
        wave_heights: (k,) amplitudes of the surface.
        rim_heights: (k,) amplitudes of the rim's thickness, in log units.
        gap_share: Share of the surface without a rim, in patches.
        interior: What enhances inside the rim.
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
    gap_share: float = 0.0
    interior: Interior | None = None

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
        whole = distance <= radii
        core = np.zeros_like(whole)
        if self.rim_mm < self.diameter_mm:
            inside = np.flatnonzero(whole)
            hollow = distance[inside] <= radii[inside] - self.rim_thickness(directions[inside])
            if self.interior is not None:
                hollow[hollow] = ~self.interior.enhances(squeezed[inside[hollow]])
            core[inside] = hollow
        return whole, core

    def wall_point(self, direction: Points) -> Points:
        """Return the point of the surface in the direction of a unit vector, both in squeezed coordinates."""
        return np.asarray(direction * self._radii(direction[None])[0])

    def rim_thickness(self, directions: Points) -> Points:
        """Return the rim's thickness in mm at (n, 3) unit vectors of the squeezed coordinates; 0 in its gaps."""
        uneven = _waves(directions, 0.7 * self.wave_vectors[::-1], 2 * self.wave_phases, self.rim_heights)
        thickness: Points = self.rim_mm * np.exp(np.clip(uneven, -0.8, 0.8))
        if self.kind in THIN_RIMMED:
            thickness = np.clip(thickness, *THIN_RIM_MM)
        if self.gap_share:
            thickness[self._patches(directions) < self._gap_level] = 0
        return thickness

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

    @functools.cached_property
    def _gap_level(self) -> float:
        return float(np.quantile(self._patches(_sphere()), self.gap_share))

    def _patches(self, directions: Points) -> Points:
        return _waves(directions, 0.8 * self.wave_vectors, self.wave_phases + 1, np.ones(len(self.wave_vectors)))

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
    rim = _draw_rim(rng, kind, diameter_mm)
    phases = rng.uniform(0, 2 * np.pi, count)
    shape = LesionShape(kind, centre_mm, diameter_mm, rim, squeeze, vectors, phases, heights, rim_heights)
    if kind not in THIN_RIMMED:
        return shape
    return replace(shape, gap_share=rng.uniform(0, MOST_GAPS), interior=_draw_interior(rng, shape))


def _draw_rim(rng: np.random.Generator, kind: LesionKind, diameter_mm: float) -> float:
    if kind in THIN_RIMMED:
        return float(rng.uniform(*THIN_RIM_MM))
    # Both are drawn for every other kind, so that equal seeds go on giving equal shapes.
    ring = np.clip(diameter_mm * rng.uniform(0.12, 0.25), 1.2, 5.0)
    cystic = np.clip(diameter_mm * rng.uniform(0.05, 0.1), 0.8, 1.8)
    return float({LesionKind.RING: ring, LesionKind.CYSTIC: cystic}.get(kind, 3 * diameter_mm))


def _draw_interior(rng: np.random.Generator, shape: LesionShape) -> Interior | None:
    radius_mm = shape.diameter_mm / 2
    if shape.kind is LesionKind.NODULAR_CYST:
        direction = rng.standard_normal(3)
        return draw_nodule(rng, shape.wall_point(direction / np.linalg.norm(direction)), radius_mm, shape.rim_mm)
    if shape.kind is LesionKind.MULTILOCULAR:
        return draw_septa(rng, radius_mm, shape.rim_mm)
    return None


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
