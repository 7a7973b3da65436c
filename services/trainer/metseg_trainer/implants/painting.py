"""Lesions and their oedema, blended into a scene with partial volume."""

from dataclasses import dataclass

import cv2
import numpy as np

from metseg_trainer.implants.coverage import Box, Field, Placed, box_around, coverage, distance
from metseg_trainer.implants.scene import Scene
from metseg_trainer.implants.settings import Range

LEAST_COVER = 0.25
"""A lesion that nowhere fills this share of a pixel cannot be seen and is not painted."""

LEAST_CONTRAST = 0.12
"""Nowhere is a lesion painted whose best pixel is brighter than its surroundings by less than this share."""


@dataclass(frozen=True)
class Look:
    """How a lesion looks.

    Attributes:
        core: Grey value of what does not enhance.
        grain: How much of the background's texture shows through.
        texture: Relative deviation of the lesion's own texture.
    """

    core: float
    grain: float
    texture: float


def paint_lesion(rng: np.random.Generator, scene: Scene, placed: Placed, look: Look, class_number: int) -> bool:
    """Blend a lesion into a scene and mark it in its mask, in place.

    A pixel of the middle slice is lesion, core and rim together, where the lesion fills half of it or, if it fills
    so much of none, half of its best pixel, as in the phantoms.

    Returns:
        Whether there is anything to be seen of it in any slice.
    """
    reach = placed.outline.reach_mm
    margin = 1 + 2 * scene.blur_px
    box = box_around(
        placed.centre_px, [reach / spacing + margin for spacing in scene.spacing_mm[:2]], scene.mask.shape
    )
    if min(box.size) < 2:
        return False
    whole, core = coverage(placed, box, scene.spacing_mm, scene.slices)
    inside = scene.inside(box)
    whole, core = (blurred(part, scene.blur_px) * inside for part in (whole, core))
    if float(whole.max()) < LEAST_COVER:
        return False
    fill_in(rng, scene, box, whole, core, look)
    mark(scene, box, whole, class_number)
    return True


def fill_in(rng: np.random.Generator, scene: Scene, box: Box, whole: Field, core: Field, look: Look) -> None:
    """Blend what fills `whole` of each pixel of a box, of which `core` does not enhance, into the scene."""
    values, tissue = scene.values[box.index], scene.tissue(box)
    rim = whole - core
    peak = max(float(rim.max()), LEAST_COVER)
    enhancement = max(scene.enhancement, 1 + LEAST_CONTRAST / peak)
    grain = np.clip(values - tissue, -0.35 * tissue, 0.35 * tissue)
    texture = 1 + look.texture * smooth_noise(rng, box.size, 3.5)[..., None]
    bright = enhancement * tissue * texture + look.grain * grain
    values += rim * (bright - values) + core * (look.core * (2 - texture) - values)


def mark(scene: Scene, box: Box, whole: Field, class_number: int) -> None:
    """Mark in the mask what `whole` fills of the middle slice."""
    middle = whole[..., scene.slices // 2]
    scene.mask[box.index][middle >= min(0.5, 0.5 * float(whole.max()))] = class_number


def paint_oedema(rng: np.random.Generator, scene: Scene, placed: Placed, darkness: float, reach_mm: float) -> None:
    """Darken the tissue around a lesion to `darkness`, in place; fluid and what is outside of the brain stay."""
    around = placed.outline.reach_mm + reach_mm
    box = box_around(placed.centre_px, [around / spacing for spacing in scene.spacing_mm[:2]], scene.mask.shape)
    if min(box.size) < 2:
        return
    away = distance(placed, box, scene.spacing_mm, scene.slices)
    ragged = away / reach_mm + 0.35 * smooth_noise(rng, box.size, 8.0)[..., None]
    values, white = scene.values[box.index], scene.brain.white
    tissue = np.clip(values / (0.3 * white) - 2, 0, 1)
    weight = np.clip((1 - ragged) * 2, 0, 1) * scene.inside(box) * tissue
    values *= 1 - (1 - darkness) * weight


def smooth_noise(rng: np.random.Generator, size: tuple[int, int], knot_px: float) -> Field:
    """Draw a smooth field (x, y) of mean 0 and deviation about 1 that varies over `knot_px` pixels."""
    counts = [max(2, round(n / knot_px) + 1) for n in size]
    coarse = rng.standard_normal(counts, dtype=np.float32) * np.float32(1.3)
    return np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def blurred(field: Field, sigma_px: float) -> Field:
    """Blur (x, y, slice) within its slices; beyond the box there is nothing."""
    soft = cv2.GaussianBlur(field, (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(soft, dtype=np.float32).reshape(field.shape)


def draw_look(rng: np.random.Generator, core: float, grain: Range) -> Look:
    """Draw how a lesion with that core looks."""
    return Look(core, rng.uniform(*grain), rng.uniform(0.0, 0.12))
