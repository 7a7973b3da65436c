"""Vessels: bright tubes that are no lesion, painted in template space."""

import numpy as np
from numpy.typing import NDArray

from metseg_trainer.phantom.anatomy import Map, Template

Points = NDArray[np.float64]


def vessel_map(rng: np.random.Generator, template: Template, count: int) -> Map:
    """Draw sinuses and `count` surface, sulcal and deep vessels.

    Returns:
        How much of each template voxel is blood, 0 to 1.
    """
    blood = np.zeros(template.shape, np.float32)
    for points, radii in _sinuses(rng, template):
        paint_tube(blood, template, points, radii)
    points, radii = _walks(rng, template, count)
    paint_tube(blood, template, points, radii)
    return blood


def paint_tube(blood: Map, template: Template, points_mm: Points, radii_mm: Points) -> None:
    """Raise `blood` to the coverage of balls at (n, 3) template millimetres, in place."""
    for group in (radii_mm < 1.1 * template.step_mm, radii_mm >= 1.1 * template.step_mm):
        if group.any():
            _paint_balls(blood, template, points_mm[group], radii_mm[group])


def _paint_balls(blood: Map, template: Template, points_mm: Points, radii_mm: Points) -> None:
    reach = int(np.ceil(radii_mm.max() / template.step_mm + 0.5))
    line = np.arange(-reach, reach + 1)
    offsets = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    exact = (points_mm - template.affine[:3, 3]) / template.step_mm
    nearest = np.rint(exact).astype(int)
    inside = ((nearest >= reach) & (nearest < np.array(template.shape) - reach)).all(axis=1)
    away = (nearest - exact)[inside].astype(np.float32)[:, None, :] + offsets.astype(np.float32)
    distance = np.sqrt(np.square(away).sum(axis=2))
    # Thinner than a voxel: as wide as one, but paler by the share of it that is filled.
    radii = (radii_mm[inside, None] / template.step_mm).astype(np.float32)
    wide = np.maximum(radii, 0.5)
    cover = np.clip(wide - distance + 0.5, 0, 1) * np.square(radii / wide)
    strides = np.array([template.shape[1] * template.shape[2], template.shape[2], 1])
    flat = (nearest[inside] @ strides)[:, None] + offsets @ strides
    np.maximum.at(blood.reshape(-1), flat[cover > 0], cover[cover > 0])


def _sinuses(rng: np.random.Generator, template: Template) -> list[tuple[Points, Points]]:
    """Superior sagittal, transverse and straight sinus, following the inner skull."""
    size = rng.uniform(1.8, 3.6)
    angles = np.linspace(np.deg2rad(40), np.deg2rad(205), 240)
    upper = _cast(template, np.array([0.0, -20.0, 5.0]), np.stack([0 * angles, np.cos(angles), np.sin(angles)], 1))
    growing = np.linspace(0.5, 1.0, len(upper)) * size
    side = np.deg2rad(np.linspace(-75, 75, 200))
    level = np.array([0.0, -45.0, rng.uniform(-26, -16)])
    across = _cast(template, level, np.stack([np.sin(side), -np.cos(side), 0 * side], 1))
    dominance = np.clip(1 + rng.normal(0, 0.35) * np.sign(across[:, 0]), 0.4, 1.3)
    share = np.linspace(0, 1, 60)[:, None]
    straight = (1 - share) * np.array([0.0, -92.0, -14.0]) + share * np.array([0.0, -42.0, 6.0])
    wobble = rng.normal(0, 0.4, 3)
    return [
        (upper + wobble, growing),
        (across, size * 0.9 * dominance),
        (straight + wobble, np.full(60, size * 0.45)),
    ]


def _cast(template: Template, start_mm: Points, directions: Points, depth_mm: float = -1.5) -> Points:
    """Follow rays from a point inside the brain to where the inner skull is `-depth_mm` away."""
    lengths = np.arange(10, 130, 0.7)
    points = start_mm + directions[:, None, :] * lengths[:, None]
    depth = template.sample(template.depth, points.reshape(-1, 3)).reshape(points.shape[:2])
    found = (depth > depth_mm).argmax(axis=1)
    met: Points = points[np.arange(len(points)), found]
    return met


def _walks(rng: np.random.Generator, template: Template, count: int, steps: int = 70) -> tuple[Points, Points]:
    """Walk along fluid: over the surface, down into sulci, and with a few walkers straight through the brain."""
    free = _starts(rng, template, count)
    deep = rng.random(count) < 0.1
    heading = rng.standard_normal((count, 3))
    radius = np.where(deep, rng.uniform(0.3, 0.7, count), np.exp(rng.normal(0.0, 0.35, count)))
    alive = np.ones(count, bool)
    left = rng.integers(15, steps, count)
    places, radii = [], []
    for step in range(steps * 2):
        heading /= np.linalg.norm(heading, axis=1, keepdims=True)
        tries = heading[:, None, :] + 0.55 * rng.standard_normal((count, 8, 3))
        tries /= np.linalg.norm(tries, axis=2, keepdims=True)
        ends = free[:, None, :] + tries * 1.5
        worth = _worth(template, ends.reshape(-1, 3)).reshape(count, 8)
        best = np.where(deep, 0, worth.argmax(axis=1))
        rows = np.arange(count)
        heading = np.where(deep[:, None], heading + 0.1 * tries[:, 0], tries[rows, best])
        alive &= (worth[rows, best] > 0.25) | (deep & (worth[rows, best] > -1))
        alive &= step < 2 * left
        free = free + 0.6 * heading / np.linalg.norm(heading, axis=1, keepdims=True)
        places.append(free[alive])
        radii.append(radius[alive] * (1 - 0.6 * step / (2.0 * left[alive])))
    return np.concatenate(places), np.clip(np.concatenate(radii), 0.25, 2.2)


def _starts(rng: np.random.Generator, template: Template, count: int) -> Points:
    """Take starting points on the surface and in the brain's interior, more of them in fluid."""
    picks = np.searchsorted(template.place_odds, rng.random(count * 20))
    points = template.places[picks].astype(np.float64) + rng.normal(0, 5, (count * 20, 3))
    worth = _worth(template, points) + rng.random(count * 20) * 0.5
    best: Points = points[np.argsort(-worth)[: count * 4]]
    return best[rng.permutation(len(best))[:count]]


def _worth(template: Template, points_mm: Points) -> Map:
    """Fluid inside the skull is 1, brain 0, and outside the skull -2."""
    depth = template.sample(template.depth, points_mm)
    fluid = 1 - template.sample(template.tissue, points_mm)
    worth: Map = np.where(depth > 0.5, np.float32(-2), fluid)
    return worth
