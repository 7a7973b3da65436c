"""Bright structures that are no lesion: vessels, dots in sulci, strips of dura and clumps of plexus."""

import cv2
import numpy as np
from numpy.typing import NDArray

from metseg_trainer.implants.brain import depth_inside
from metseg_trainer.implants.coverage import Box, Field, box_around
from metseg_trainer.implants.painting import Look, blurred, fill_in, smooth_noise
from metseg_trainer.implants.scene import Scene

FINE = 3
"""Subpixels along an axis in which vessels are drawn."""


def paint_distractor(rng: np.random.Generator, scene: Scene) -> None:
    """Blend one of them into a scene, in place; the mask is left as it is, and lesions are not covered."""
    draw = (_vessel, _vessel, _dot, _dot, _dura, _plexus)[int(rng.integers(6))]
    found = draw(rng, scene)
    if found is None:
        return
    box, cover = found
    free = cv2.dilate(scene.mask[box.index], np.ones((5, 5), np.uint8)) == 0
    near = np.asarray(cv2.dilate(scene.brain.region[box.index].astype(np.uint8), np.ones((3, 3), np.uint8)))
    cover = blurred(cover, max(scene.blur_px * 0.7, 0.4)) * (free & (near > 0))[..., None]
    fill_in(rng, scene, box, cover, np.zeros_like(cover), Look(0.0, rng.uniform(0.3, 0.8), 0.05))


def _place(rng: np.random.Generator, where: Field) -> tuple[float, float] | None:
    """Draw a pixel from a coarse map whose pixels are every fourth of the scene."""
    places = np.flatnonzero(where)
    if not len(places):
        return None
    x, y = np.unravel_index(int(places[rng.integers(len(places))]), where.shape)
    return 4.0 * float(x), 4.0 * float(y)


def _fluid(scene: Scene) -> tuple[Field, Field]:
    """Mark where fluid is on every fourth pixel, and measure how deep in the brain that is, in pixels."""
    brain = scene.brain
    middle = scene.values[::4, ::4, scene.slices // 2]
    region = brain.region[::4, ::4]
    fluid = region & (middle < 0.5 * (brain.white + brain.fluid))
    return fluid.astype(np.float32), depth_inside(region) * 4


def _vessel(rng: np.random.Generator, scene: Scene) -> tuple[Box, Field] | None:
    """A curved tube of 1 to 3 pixels within the plane or nearly so."""
    start = _place(rng, scene.brain.region[::4, ::4].astype(np.float32))
    if start is None:
        return None
    steps = int(rng.integers(6, 30))
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.22, steps))
    path = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], axis=1) * 1.7, axis=0)
    width = rng.uniform(1.0, 3.0)
    slope = rng.normal(0, 0.8, 2)
    reach = float(np.abs(path).max()) + 6
    box = box_around(start, (reach, reach), scene.mask.shape)
    cover = np.zeros((*box.size, scene.slices), np.float32)
    for k in range(scene.slices):
        height_mm = (k - scene.slices // 2) * scene.spacing_mm[2]
        seen = np.clip(1.3 - abs(height_mm) / (width + scene.spacing_mm[2]), 0, 1)
        points = path + np.array(start) - np.array(box.low) + np.clip(slope * height_mm, -4, 4)
        cover[..., k] = seen * _tube(points, width, box.size)
    return box, cover


def _tube(points: NDArray[np.float64], width: float, size: tuple[int, int]) -> Field:
    """Draw a line of that width in pixels through (n, 2) points; thinner than a subpixel it is paler."""
    canvas = np.zeros((size[0] * FINE, size[1] * FINE), np.uint8)
    corners = np.rint(((points + 0.5) * FINE - 0.5) * 16).astype(np.int32)[:, None, ::-1]
    cv2.polylines(canvas, [corners], False, 255, max(1, round(width * FINE)), cv2.LINE_AA, 4)
    shares = cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(shares, dtype=np.float32) / np.float32(255)


def _dot(rng: np.random.Generator, scene: Scene) -> tuple[Box, Field] | None:
    """A vessel across the plane, mostly in a sulcus."""
    fluid, depth = _fluid(scene)
    where = fluid * ((depth > 0) & (depth < 28))
    start = _place(rng, where if where.any() and rng.random() < 0.8 else (depth > 0).astype(np.float32))
    if start is None:
        return None
    radius, drift = rng.uniform(0.5, 1.6), rng.normal(0, 0.7, 2)
    box = box_around(start, (10, 10), scene.mask.shape)
    x, y = np.ogrid[box.low[0] : box.high[0], box.low[1] : box.high[1]]
    covers = []
    for k in range(scene.slices):
        shift = np.clip(drift * (k - scene.slices // 2) * scene.spacing_mm[2], -5, 5)
        away = np.hypot(x - start[0] - shift[0], y - start[1] - shift[1])
        covers.append(np.clip(radius - away + 0.5, 0, 1))
    return box, np.stack(covers, axis=-1).astype(np.float32)


def _dura(rng: np.random.Generator, scene: Scene) -> tuple[Box, Field] | None:
    """A strip along the brain's surface."""
    coarse = depth_inside(scene.brain.region[::4, ::4])
    start = _place(rng, ((coarse > 0) & (coarse < 2)).astype(np.float32))
    if start is None:
        return None
    length, width = rng.uniform(6, 25), rng.uniform(0.8, 2.0)
    box = box_around(start, (1.5 * length, 1.5 * length), scene.mask.shape)
    depth = depth_inside(scene.brain.region[box.index])
    x, y = np.ogrid[box.low[0] : box.high[0], box.low[1] : box.high[1]]
    away = np.hypot(x - start[0], y - start[1]) / length
    strip = np.clip(width - np.abs(depth - width) + 0.5, 0, 1) * np.clip((1.3 - away) * 3, 0, 1) * (depth > 0)
    return box, np.repeat(strip.astype(np.float32)[..., None], scene.slices, axis=2)


def _plexus(rng: np.random.Generator, scene: Scene) -> tuple[Box, Field] | None:
    """Clumps in the fluid of a ventricle."""
    fluid, depth = _fluid(scene)
    start = _place(rng, fluid * (depth > 24))
    if start is None:
        return None
    reach = rng.uniform(4, 12)
    box = box_around(start, (reach, reach), scene.mask.shape)
    x, y = np.ogrid[box.low[0] : box.high[0], box.low[1] : box.high[1]]
    away = np.hypot(x - start[0], y - start[1]) / reach
    clumps = np.clip(smooth_noise(rng, box.size, 2.5) + 0.8 - 1.6 * away, 0, 1)
    brain = scene.brain
    dark = np.clip(2 * (brain.white - scene.values[box.index]) / (brain.white - brain.fluid) - 0.3, 0, 1)
    return box, (clumps[..., None] * dark).astype(np.float32)
