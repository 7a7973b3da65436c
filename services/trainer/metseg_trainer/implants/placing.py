"""Where in a slice there is room for a lesion."""

import cv2
import numpy as np

from metseg_trainer.implants.brain import depth_inside
from metseg_trainer.implants.coverage import Field
from metseg_trainer.implants.scene import Scene

STEP = 2
"""Places are looked for on every second pixel."""

GAP_PX = 2.0
"""Clear tissue between two lesions, at least."""


class Room:
    """What is free of lesions inside a scene's brain."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.depth_px: Field = depth_inside(scene.brain.region[::STEP, ::STEP]) * STEP

    def find(self, rng: np.random.Generator, radius_px: float, *, at_edge: bool) -> tuple[float, float] | None:
        """Draw a point around which a lesion fits, in pixels; None where there is none.

        Args:
            rng: Source of the random numbers.
            radius_px: Radius of the lesion.
            at_edge: Let it cross the brain's surface, rather than lie wholly inside.
        """
        if at_edge:
            fits = (self.depth_px >= 0.1 * radius_px) & (self.depth_px <= 0.1 * radius_px + 4)
        else:
            fits = self.depth_px >= radius_px
        taken = self._scene.mask[::STEP, ::STEP] > 0
        if taken.any():
            away = cv2.distanceTransform((~taken).astype(np.uint8), cv2.DIST_L2, 3)
            fits &= away * STEP >= radius_px + GAP_PX
        places = np.flatnonzero(fits)
        if not len(places):
            return None
        x, y = np.unravel_index(int(places[rng.integers(len(places))]), self.depth_px.shape)
        return float(x) * STEP + rng.uniform(-0.5, 1.5), float(y) * STEP + rng.uniform(-0.5, 1.5)
