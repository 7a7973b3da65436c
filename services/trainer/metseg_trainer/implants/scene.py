"""A slab that lesions are painted into, with what painting must know of it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from metseg_trainer.implants.brain import HEAD_LEVEL, Brain
from metseg_trainer.implants.coverage import Box, Field, Spacing
from metseg_trainer.implants.settings import ImplantSettings

TISSUE_BLUR_PX = 5.0
MARGIN_PX = 2
"""Implants keep this far from lesions that are there."""


COARSE = 4
"""Pixels along an axis to a pixel of the blurred slab."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A slab and its surroundings; `values` and `mask` are changed in place.

    Attributes:
        values: (x, y, slice) float32 grey values, of one slice or three.
        mask: (x, y) uint8 classes of the middle slice.
        spacing_mm: Distance of pixels along x and y, and of slices.
        brain: The brain of the middle slice.
        free: (x, y) bool, the brain without the lesions that were there.
        coarse_tissue: (x, y, slice) usual grey value around each pixel, at a quarter of the resolution.
        enhancement: Brightness of what enhances relative to the tissue around it.
        blur_px: Deviation of the blur of edges.
    """

    values: Field
    mask: NDArray[np.uint8]
    spacing_mm: Spacing
    brain: Brain
    free: NDArray[np.bool_]
    coarse_tissue: Field
    enhancement: float
    blur_px: float

    @property
    def slices(self) -> int:
        """Slices of the slab."""
        return int(self.values.shape[2])

    @property
    def pixel_mm(self) -> float:
        """Side of the square of a pixel's area."""
        return float(np.sqrt(self.spacing_mm[0] * self.spacing_mm[1]))

    def inside(self, box: Box) -> Field:
        """Tell from 0 to 1 where in a box lesions may be, (x, y, slice)."""
        free = self.free[box.index][..., None] & (self.values[box.index] > HEAD_LEVEL)
        return np.asarray(cv2.blur(free.astype(np.float32), (3, 3)), dtype=np.float32).reshape(free.shape)

    def tissue(self, box: Box) -> Field:
        """Interpolate the usual grey value around each pixel of a box, (x, y, slice)."""
        offsets = [(low + 0.5) / COARSE - 0.5 for low in box.low]
        matrix = np.array([[1 / COARSE, 0, offsets[1]], [0, 1 / COARSE, offsets[0]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = box.size[::-1]
        found = cv2.warpAffine(self.coarse_tissue, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(found, dtype=np.float32).reshape(*box.size, self.slices)


def make_scene(
    slab: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    spacing_mm: Spacing,
    brain: Brain,
    settings: ImplantSettings,
    rng: np.random.Generator,
) -> Scene:
    """Make a scene of a slab (x, y, slice), the mask (x, y) of its middle slice and the brain there."""
    free = brain.region
    if mask.any():
        free = free & (cv2.dilate(mask, np.ones((2 * MARGIN_PX + 1,) * 2, np.uint8)) == 0)
    faint = rng.random() < settings.faint
    return Scene(
        values=slab.astype(np.float32),
        mask=mask.copy(),
        spacing_mm=spacing_mm,
        brain=brain,
        free=free,
        coarse_tissue=_coarse_tissue(slab, brain.white),
        enhancement=rng.uniform(*(settings.faint_enhancement if faint else settings.enhancement)),
        blur_px=rng.uniform(*settings.blur_px),
    )


def _coarse_tissue(slab: NDArray[np.uint8], white: float) -> Field:
    """Blur a slab; what is far from brain tissue, such as bone, fluid and fat, counts as the nearest to it."""
    size = (slab.shape[1] // COARSE, slab.shape[0] // COARSE)
    small = cv2.resize(slab, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    blurred = cv2.GaussianBlur(np.clip(small, 0.5 * white, 1.3 * white), (0, 0), TISSUE_BLUR_PX / COARSE)
    tissue = np.clip(blurred, 0.8 * white, 1.2 * white).reshape(size[1], size[0], slab.shape[2])
    return np.asarray(tissue, dtype=np.float32)
