"""Shapes of implanted lesions: signed distances to their surface and to what lies in them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from metseg_trainer.implants.settings import Kind
from metseg_trainer.phantom.shapes import rotation

Points = NDArray[np.float32]

WAVES = 5
NO_RIM = np.float32(1e3)
LARGEST_STRETCH = 0.5 * float(np.log(2.0))
"""An axis is at most this much longer or shorter than the mean, in log units, so that axes differ by 2 at most."""


@dataclass(frozen=True, eq=False)
class Balls:
    """Balls in the squeezed coordinates of an `Outline`: centres (n, 3) and radii (n,) in mm."""

    centres: Points
    radii: Points


@dataclass(frozen=True, eq=False)
class Outline:
    """A lesion around the origin: one or several balls, stretched, deformed by waves, with or without a rim.

    Attributes:
        diameter_mm: Diameter of the ball of equal volume, without the nodule.
        squeeze: (3, 3) matrix with determinant 1 that takes mm to squeezed coordinates.
        balls: What the lesion is made of; several are the chambers of a multilocular cyst.
        waves: (WAVES, 3) wave vectors, phases and amplitudes of the surface in one array of (WAVES, 5).
        rim_mm: Thickness of the rim; `NO_RIM` where all is solid.
        rim_waves: The same as `waves` for the logarithm of the rim's thickness.
        gap: Unit vector to the middle of the part without a rim.
        gap_cosine: Cosine of that part's half angle; 1 or more for a whole rim.
        nodule: A solid ball at the wall, or None.
    """

    diameter_mm: float
    squeeze: Points
    balls: Balls
    waves: Points
    rim_mm: np.float32
    rim_waves: Points
    gap: Points
    gap_cosine: float
    nodule: Balls | None

    @property
    def reach_mm(self) -> float:
        """No point of the lesion is farther from the origin than this."""
        away = np.linalg.norm(self.balls.centres, axis=1)
        widest = float((away + self.balls.radii * np.exp(np.abs(self.waves[:, 4]).sum())).max())
        if self.nodule is not None:
            widest = max(widest, float(np.linalg.norm(self.nodule.centres[0]) + self.nodule.radii[0]))
        return widest * float(1 / np.linalg.svd(self.squeeze, compute_uv=False).min())

    def distances(self, points_mm: Points) -> tuple[Points, Points]:
        """Measure (n, 3) points: mm outside of the surface, and mm outside of what does not enhance.

        Both are negative inside. They are exact near the surface of a ball and good to some tenths elsewhere.
        """
        squeezed = points_mm @ self.squeeze.T
        outside, second, directions = self._chambers(squeezed)
        slope = np.linalg.norm(directions @ self.squeeze, axis=1)
        surface = outside / slope
        if self.rim_mm >= NO_RIM:
            return surface, np.full_like(surface, NO_RIM)
        rim = self.rim_mm * np.exp(np.clip(_waves(directions, self.rim_waves), -0.8, 0.8))
        if self.gap_cosine < 1:
            rim = rim * np.clip((self.gap_cosine - directions @ self.gap) * 6 + 0.5, 0, 1)
        core = surface + rim
        if second is not None:
            core = np.maximum(core, self.rim_mm - (second - outside) / slope)
        if self.nodule is not None:
            nodule = np.linalg.norm(squeezed - self.nodule.centres[0], axis=1) - self.nodule.radii[0]
            surface, core = np.minimum(surface, nodule), np.maximum(core, -nodule)
        return surface, core

    def _chambers(self, squeezed: Points) -> tuple[Points, Points | None, Points]:
        """Measure the distance to the nearest and the second nearest ball, and the direction from the nearest."""
        away = squeezed[:, None, :] - self.balls.centres
        lengths = np.sqrt(np.einsum("nbk,nbk->nb", away, away))
        if len(self.balls.radii) == 1:
            directions = away[:, 0] / np.maximum(lengths, np.float32(1e-6))
            return lengths[:, 0] - self.balls.radii[0] * np.exp(_waves(directions, self.waves)), None, directions
        outside = lengths - self.balls.radii
        nearest = outside.argmin(axis=1)
        rows = np.arange(len(nearest))
        first, second = np.partition(outside, 1, axis=1)[:, :2].T
        return first, second, away[rows, nearest] / np.maximum(lengths[rows, nearest], np.float32(1e-6))[:, None]


def draw_outline(rng: np.random.Generator, kind: Kind, diameter_mm: float) -> Outline:
    """Draw a lesion of a kind, the parts of a cluster being solid."""
    waves = _draw_waves(rng, rng.uniform(0.01, 0.09))
    balls = _draw_balls(rng, kind, diameter_mm, waves)
    gap = rng.standard_normal(3)
    gap_share = rng.uniform(0, 0.4) if kind in (Kind.CYST, Kind.NODULE) else 0.0
    return Outline(
        diameter_mm=diameter_mm,
        squeeze=_draw_squeeze(rng),
        balls=balls,
        waves=waves,
        rim_mm=_draw_rim(rng, kind, diameter_mm),
        rim_waves=_draw_waves(rng, rng.uniform(0.02, 0.25)),
        gap=(gap / np.linalg.norm(gap)).astype(np.float32),
        gap_cosine=1 - 2 * gap_share if gap_share > 0 else 2.0,
        nodule=_draw_nodule(rng, balls) if kind is Kind.NODULE else None,
    )


def _draw_rim(rng: np.random.Generator, kind: Kind, diameter_mm: float) -> np.float32:
    if kind is Kind.RING:
        return np.float32(np.clip(diameter_mm * rng.uniform(0.12, 0.25), 1.0, 6.0))
    if kind in (Kind.CYST, Kind.NODULE, Kind.MULTILOCULAR):
        return np.float32(rng.uniform(0.8, 1.8))
    return NO_RIM


def _draw_squeeze(rng: np.random.Generator) -> Points:
    stretch = rng.uniform(-1, 1, 3) * rng.uniform(0, 1)
    stretch -= stretch.mean()
    stretch *= min(1.0, 2 * LARGEST_STRETCH / max(float(np.ptp(stretch)), 1e-9))
    turn = rotation(rng.uniform(-np.pi, np.pi, 3))
    return np.asarray(turn.T @ np.diag(np.exp(stretch)) @ turn, dtype=np.float32)


def _draw_waves(rng: np.random.Generator, height: float) -> Points:
    vectors = rng.standard_normal((WAVES, 3))
    vectors *= rng.uniform(1.5, 4.0, (WAVES, 1)) / np.linalg.norm(vectors, axis=1, keepdims=True)
    phases = rng.uniform(0, 2 * np.pi, (WAVES, 1))
    heights = rng.normal(0, height, (WAVES, 1))
    return np.concatenate([vectors, phases, heights], axis=1).astype(np.float32)


def _draw_balls(rng: np.random.Generator, kind: Kind, diameter_mm: float, waves: Points) -> Balls:
    """Draw one ball, or the chambers of a multilocular cyst, scaled to the volume of a ball of that diameter."""
    radius = diameter_mm / 2
    if kind is not Kind.MULTILOCULAR:
        scale = np.cbrt(np.exp(3 * _waves(_sphere(), waves)).mean())
        return Balls(np.zeros((1, 3), np.float32), np.array([radius / scale], np.float32))
    count = int(rng.integers(2, 6))
    centres = rng.standard_normal((count, 3))
    centres *= rng.uniform(0.4, 0.65, (count, 1)) / np.linalg.norm(centres, axis=1, keepdims=True)
    radii = rng.uniform(0.45, 0.75, count)
    grid = _cube()
    filled = (np.linalg.norm(grid[:, None] - centres, axis=2) < radii).any(axis=1).mean() * 3.0**3
    scale = radius * np.cbrt(4 / 3 * np.pi / filled)
    centres -= centres.mean(axis=0)
    return Balls((centres * scale).astype(np.float32), (radii * scale).astype(np.float32))


def _draw_nodule(rng: np.random.Generator, balls: Balls) -> Balls:
    radius = float(balls.radii[0])
    size = radius * rng.uniform(0.22, 0.5)
    direction = rng.standard_normal(3)
    direction *= (radius - rng.uniform(0.2, 0.8) * size) / np.linalg.norm(direction)
    return Balls(direction[None].astype(np.float32), np.array([size], np.float32))


def _waves(directions: Points, waves: Points) -> Points:
    """Add plane waves at (n, 3) unit vectors."""
    return np.asarray(np.sin(directions @ waves[:, :3].T + waves[:, 3]) @ waves[:, 4], dtype=np.float32)


@cache
def _sphere(count: int = 200) -> Points:
    """Evenly spread unit vectors (the Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z = 1 - 2 * index / count
    turn = index * np.pi * (1 + 5**0.5)
    ring = np.sqrt(1 - z**2)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=1).astype(np.float32)


@cache
def _cube(side: int = 14) -> Points:
    """Evenly spread points of a cube from -1.5 to 1.5."""
    line = (np.arange(side, dtype=np.float32) + 0.5) * (3 / side) - 1.5
    return np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
