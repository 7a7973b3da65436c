"""Real enhancing tumours, cut out and pasted small."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from metseg_trainer.datasets.prepared_cases import PreparedCase
from metseg_trainer.implants.coverage import Box, Field, box_around
from metseg_trainer.implants.painting import LEAST_COVER, blurred, mark
from metseg_trainer.implants.scene import Scene
from metseg_trainer.implants.settings import Range

LEAST_CONTRAST = 1.25
"""A pixel enhances where it is this much brighter than the median around the mask."""

LEAST_ENHANCING = 0.3
"""A tumour of which a smaller share enhances is not pasted."""

SMALLEST_PX = 60
"""Tumours of fewer pixels are not cut out: scaled down, nothing of their structure is left."""

MARGIN_PX = 6


@dataclass(frozen=True, eq=False)
class Tumour:
    """A tumour cut out of a slice.

    Attributes:
        relative: (x, y) float32 grey values relative to the tissue around it.
        mask: (x, y) float32, 1 inside of it.
        diameter_px: Diameter of the disc of equal area.
        peak: Mean of `relative` where it enhances.
    """

    relative: Field
    mask: Field
    diameter_px: float
    peak: float


TumourBank = tuple[Tumour, ...]


def collect_tumours(cases: Iterable[PreparedCase], rng: np.random.Generator, *, most: int = 400) -> TumourBank:
    """Cut enhancing tumours out of cases, one slice of each drawn at random.

    Args:
        cases: Of the training side alone, or the validation is worth nothing.
        rng: Draws the cases and their slices.
        most: Tumours that are kept at most.
    """
    pool = list(cases)
    found: list[Tumour] = []
    for index in rng.permutation(len(pool)):
        slices = pool[index].lesion_slices()
        if len(slices):
            z = int(slices[rng.integers(len(slices))])
            tumour = cut_out(np.asarray(pool[index].pixels[z]), np.asarray(pool[index].mask[z]))
            found += [] if tumour is None else [tumour]
        if len(found) == most:
            break
    return tuple(found)


def cut_out(plane: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Tumour | None:
    """Cut the largest lesion out of a slice (x, y); None where it is small or does not enhance."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    number = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    lesion = (labels == number).astype(np.uint8)
    area = int(stats[number, cv2.CC_STAT_AREA])
    near, far = (cv2.dilate(lesion, np.ones((k, k), np.uint8)) for k in (5, 21))
    surroundings = plane[(far > near) & (mask == 0)]
    if area < SMALLEST_PX or not len(surroundings):
        return None
    tissue = max(float(np.median(surroundings)), 1.0)
    relative = plane.astype(np.float32) / np.float32(tissue)
    enhancing = relative[(lesion > 0) & (relative > LEAST_CONTRAST)]
    if len(enhancing) < LEAST_ENHANCING * area:
        return None
    y, x = stats[number, cv2.CC_STAT_LEFT], stats[number, cv2.CC_STAT_TOP]
    height, width = stats[number, cv2.CC_STAT_WIDTH], stats[number, cv2.CC_STAT_HEIGHT]
    box = tuple(
        slice(max(int(start) - MARGIN_PX, 0), int(start + length) + MARGIN_PX)
        for start, length in ((x, width), (y, height))
    )
    diameter = float(np.sqrt(4 / np.pi * area))
    return Tumour(relative[box].copy(), lesion[box].astype(np.float32), diameter, float(enhancing.mean()))


def scaled(
    tumour: Tumour, diameter_px: float, turn: NDArray[np.float64], box: Box, centre_px: tuple[float, float]
) -> tuple[Field, Field]:
    """Bring a tumour to a size and a place.

    Args:
        tumour: What is pasted.
        diameter_px: Diameter of the disc of equal area.
        turn: (2, 2) rotation, with a reflection or without.
        box: The part of the slice that is wanted.
        centre_px: Where in the slice its middle comes to lie.

    Returns:
        How much of each pixel of the box it fills, and its relative grey values there.
    """
    shrink = diameter_px / tumour.diameter_px
    sigma = 0.45 * max(1 / shrink - 1, 0.0)
    soft = [cv2.GaussianBlur(one, (0, 0), sigma) if sigma > 0.3 else one for one in (tumour.mask, tumour.relative)]
    middle = _middle(tumour.mask)
    matrix = turn.T / shrink
    origin = middle + matrix @ (np.array(box.low) - np.array(centre_px))
    affine = np.array([[matrix[1, 1], matrix[1, 0], origin[1]], [matrix[0, 1], matrix[0, 0], origin[0]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = box.size[::-1]
    cover = cv2.warpAffine(soft[0], affine, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)
    grey = cv2.warpAffine(soft[1], affine, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cover, dtype=np.float32), np.asarray(grey, dtype=np.float32)


def paste_tumour(
    rng: np.random.Generator,
    scene: Scene,
    tumour: Tumour,
    diameter_mm: float,
    centre_px: tuple[float, float],
    class_number: int,
) -> bool:
    """Blend a tumour into a scene and mark it in its mask, in place.

    Its neighbouring cross-sections are the same, as large as those of a ball of its diameter. Where the scene's
    lesions enhance more or less than the tumour did, so does it.

    Returns:
        Whether there is anything to be seen of it.
    """
    turn = _draw_turn(rng)
    diameter_px = diameter_mm / scene.pixel_mm
    reach = 0.5 * diameter_px / tumour.diameter_px * float(np.hypot(*tumour.mask.shape)) + 2
    box = box_around(centre_px, (reach, reach), scene.mask.shape)
    whole = np.zeros((*box.size, scene.slices), np.float32)
    relative = np.ones_like(whole)
    for k in range(scene.slices):
        away = (k - scene.slices // 2) * scene.spacing_mm[2]
        size = diameter_px * float(np.sqrt(max(1 - (2 * away / diameter_mm) ** 2, 0)))
        if size > 1:
            whole[..., k], relative[..., k] = scaled(tumour, size, turn, box, centre_px)
    whole = blurred(whole, scene.blur_px * 0.6) * scene.inside(box)
    if float(whole[..., scene.slices // 2].max(initial=0)) < LEAST_COVER:
        return False
    strength = float(np.clip(np.log(scene.enhancement) / np.log(tumour.peak), 0.5, 1.6))
    values, tissue = scene.values[box.index], scene.tissue(box)
    values += whole * (tissue * np.maximum(relative, 0.05) ** strength - values)
    mark(scene, box, whole, class_number)
    return True


def _draw_turn(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a rotation of the plane, in half of all cases with a reflection."""
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.diag([1.0, rng.choice([-1.0, 1.0])])


def draw_diameter(rng: np.random.Generator, tumour: Tumour, diameter_mm: Range, pixel_mm: float) -> float:
    """Draw a diameter in mm, never larger than the tumour is."""
    low, high = diameter_mm
    high = min(high, tumour.diameter_px * pixel_mm)
    return float(np.exp(rng.uniform(np.log(low), np.log(max(high, low)))))


def _middle(mask: Field) -> NDArray[np.float64]:
    x, y = np.nonzero(mask > 0.5)
    return np.array([x.mean(), y.mean()])
