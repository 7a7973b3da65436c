"""Removes what lies around the brain, as tools that strip the skull do, well or badly."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from metseg.inference.preprocessing import rescale_grey
from metseg.schemas.model_card import Intensity
from metseg_trainer.implants.brain import depth_inside, depth_outside, find_brain
from metseg_trainer.implants.painting import smooth_noise

Slab = NDArray[np.uint8]
Field = NDArray[np.float32]
Region = NDArray[np.bool_]

HALF = 2
"""The cut is drawn on every second pixel."""

LEAST_SHARE = 0.33
"""What fills less of the head may be a part of the brain alone and is not cut out."""

LESION_MARGIN_PX = 2
"""A lesion is kept with so much around it."""


@dataclass(frozen=True)
class StripSettings:
    """How well the skull is stripped; lengths in pixels.

    Attributes:
        offset_px: Deviation of how much too large the cut is as a whole; less than nothing cuts brain.
        waves_px: Deviation by which the cut varies along the brain's surface.
        leftover: Chance that a piece of dura, eye or scalp is left.
        leftover_px: Its smallest and largest radius.
        intensity: The rule by which grey values are scaled again.
    """

    offset_px: float = 1.2
    waves_px: float = 1.2
    leftover: float = 0.3
    leftover_px: tuple[float, float] = (6.0, 25.0)
    intensity: Intensity = Intensity()


def strip_skull(slab: Slab, mask: NDArray[np.uint8], settings: StripSettings, rng: np.random.Generator) -> Slab:
    """Set all outside of the brain to 0 and scale the grey values as `metseg.inference.preprocessing` does.

    Args:
        slab: (x, y, slice) grey values of a slice between its neighbours; three times the same for a lone slice.
        mask: (x, y) classes of the slice in the middle; lesions stay.
        settings: How it is done.
        rng: Source of all randomness.

    Returns:
        A new slab, or the one that came where the slice in the middle shows no brain.
    """
    middle = slab.shape[2] // 2
    brain = find_brain(slab[..., middle])
    if brain is None or np.count_nonzero(brain.region) < LEAST_SHARE * np.count_nonzero(brain.head):
        return slab
    half = brain.region[::HALF, ::HALF]
    cut = settings.offset_px * rng.standard_normal() + settings.waves_px * smooth_noise(rng, half.shape, 12.0)
    margin = HALF * (depth_inside(half) - depth_outside(half)) + cut
    if rng.random() < settings.leftover:
        margin = np.maximum(margin, _leftover(rng, half, settings))
    kept = cv2.resize(margin.astype(np.float32), mask.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0
    if mask.any():
        kept |= cv2.dilate(mask, np.ones((2 * LESION_MARGIN_PX + 1,) * 2, np.uint8)) > 0
    stripped = slab * kept[..., None]
    if all((slab[..., k] == slab[..., middle]).all() for k in range(slab.shape[2])):
        return np.repeat(rescale_grey(stripped[..., :1], settings.intensity), slab.shape[2], axis=2)
    return rescale_grey(stripped, settings.intensity)


def _leftover(rng: np.random.Generator, half: Region, settings: StripSettings) -> Field:
    """Draw a ragged piece at the brain's surface: positive inside of it, on every second pixel."""
    surface = np.flatnonzero(half & (depth_inside(half) < 2))
    x, y = np.unravel_index(int(surface[rng.integers(len(surface))]), half.shape)
    radius = rng.uniform(*settings.leftover_px) / HALF
    rows, columns = np.ogrid[: half.shape[0], : half.shape[1]]
    away = np.hypot(rows - x, columns - y) / radius + 0.3 * smooth_noise(rng, half.shape, 4.0)
    return np.asarray(1 - away, dtype=np.float32)
