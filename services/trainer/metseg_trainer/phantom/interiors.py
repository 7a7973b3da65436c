"""What enhances inside a cyst: a nodule on its wall, or the septa between its chambers.

Points are relative to the lesion's centre, in the coordinates in which its ellipsoid is a ball.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Nodule:
    """A lumpy ball on the wall, cut off by the lesion's surface.

    Attributes:
        centre_mm: (3,) its centre.
        radius_mm: Its usual radius.
        hollow_mm: Radius of the part in its middle that does not enhance; 0 for a solid one.
        waves: (k, 3) wave vectors of its lumps, on the unit sphere around its centre.
    """

    centre_mm: Points
    radius_mm: float
    hollow_mm: float
    waves: Points

    def enhances(self, points_mm: Points) -> Flags:
        """Tell which of (n, 3) points enhance."""
        away = points_mm - self.centre_mm
        distance = np.linalg.norm(away, axis=1)
        directions = away / np.maximum(distance, 1e-9)[:, None]
        lumps = np.sin(np.einsum("nk,jk->nj", directions, self.waves)).mean(axis=1)
        return np.asarray((distance <= self.radius_mm * (1 + 0.3 * lumps)) & (distance >= self.hollow_mm))


@dataclass(frozen=True, eq=False)
class Septa:
    """Curved walls about halfway between neighbouring seeds; each seed's surroundings are a chamber.

    Attributes:
        seeds_mm: (k, 3) at least two points.
        thickness_mm: Of each wall.
        bend_mm: How far a wall departs from its plane.
        waves: (3, 3) wave vectors of the walls' bends, in radians a mm.
    """

    seeds_mm: Points
    thickness_mm: float
    bend_mm: float
    waves: Points

    def enhances(self, points_mm: Points) -> Flags:
        """Tell which of (n, 3) points enhance."""
        bent = points_mm + self.bend_mm * np.sin(np.einsum("nk,jk->nj", points_mm, self.waves))
        squares = np.stack([np.square(bent - seed).sum(axis=1) for seed in self.seeds_mm], axis=1)
        nearest, second = np.argpartition(squares, 1, axis=1)[:, :2].T
        rows = np.arange(len(bent))
        apart = np.linalg.norm(self.seeds_mm[nearest] - self.seeds_mm[second], axis=1)
        to_wall = (squares[rows, second] - squares[rows, nearest]) / (2 * np.maximum(apart, 1e-9))
        return np.asarray(np.abs(to_wall) < self.thickness_mm / 2)


Interior = Nodule | Septa


def draw_nodule(rng: np.random.Generator, wall_mm: Points, radius_mm: float, rim_mm: float) -> Nodule:
    """Draw a nodule; a third of those that are thick enough are hollow.

    Args:
        rng: Source of the random numbers.
        wall_mm: (3,) a point of the cyst's surface.
        radius_mm: Of the cyst.
        rim_mm: Thickness of the cyst's rim, and at least that of a hollow nodule's.
    """
    size = max(radius_mm * rng.uniform(0.25, 0.55), 1.5)
    hollow = size * rng.uniform(0.35, 0.6) if rng.random() < 1 / 3 and size > 2 * rim_mm + 2 else 0.0
    waves = rng.standard_normal((4, 3)) * rng.uniform(1.5, 4.0, (4, 1))
    inwards = rng.uniform(0.1, 0.7) * size / np.linalg.norm(wall_mm)
    return Nodule(wall_mm * (1 - inwards), size, hollow, waves)


def draw_septa(rng: np.random.Generator, radius_mm: float, thickness_mm: float) -> Septa:
    """Draw three to six chambers, each seed the farthest of some tries from those before it."""
    seeds = [_in_ball(rng, 1)[0]]
    for _ in range(int(rng.integers(2, 6))):
        tries = _in_ball(rng, 10)
        distances = np.linalg.norm(tries[:, None] - np.array(seeds)[None], axis=2).min(axis=1)
        seeds.append(tries[distances.argmax()])
    waves = rng.standard_normal((3, 3))
    waves *= rng.uniform(1.0, 2.5, (3, 1)) / radius_mm / np.linalg.norm(waves, axis=1, keepdims=True)
    bend = rng.uniform(0.15, 0.35) * radius_mm
    return Septa(np.array(seeds) * 0.85 * radius_mm, thickness_mm, bend, waves)


def _in_ball(rng: np.random.Generator, count: int) -> Points:
    directions = rng.standard_normal((count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.asarray(directions * np.cbrt(rng.uniform(0, 1, (count, 1))))
