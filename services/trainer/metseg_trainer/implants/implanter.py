"""Lesions painted into training slices while they are drawn."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from metseg.inference.preprocessing import rescale_grey
from metseg_trainer.implants.brain import find_brain
from metseg_trainer.implants.coverage import Placed, Spacing
from metseg_trainer.implants.distractors import paint_distractor
from metseg_trainer.implants.painting import draw_look, paint_lesion, paint_oedema
from metseg_trainer.implants.pasting import TumourBank, draw_diameter, paste_tumour
from metseg_trainer.implants.placing import Room
from metseg_trainer.implants.scene import Scene, make_scene
from metseg_trainer.implants.settings import ImplantSettings, Kind, Odds
from metseg_trainer.implants.shapes import draw_outline

Slab = NDArray[np.uint8]

OUTSHINING_SHARE = 0.002
"""Where lesions lift more of the head than this above the top of the range, its grey values are scaled again."""

THINNEST_SHARE = 0.6
"""A lesion is at least this share of the distance between slices, or it could not be seen."""


@dataclass(frozen=True)
class Implant:
    """A lesion that was painted.

    Attributes:
        kind: What it is.
        diameter_mm: As asked for; of a cluster, of its largest part.
        centre_px: Where it lies in the plane.
    """

    kind: Kind
    diameter_mm: float
    centre_px: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Implanted:
    """A slab with lesions: `slab` (x, y, 3), `mask` (x, y) of its middle slice, and what was painted."""

    slab: Slab
    mask: NDArray[np.uint8]
    implants: tuple[Implant, ...]


class Implanter:
    """Paints lesions and distractors into slabs, as its settings say.

    It keeps no state: what is painted depends on the slab and the generator alone.
    """

    def __init__(self, settings: ImplantSettings, bank: TumourBank = ()) -> None:
        self._settings = settings
        self._bank = bank
        weights = np.array([odds.weight for odds in settings.lesions], dtype=float)
        self._weights = weights / weights.sum()

    def add(
        self, slab: Slab, mask: NDArray[np.uint8], spacing_mm: Spacing, rng: np.random.Generator
    ) -> tuple[Slab, NDArray[np.uint8]]:
        """Paint lesions into a slab and its mask; see `paint`."""
        made = self.paint(slab, mask, spacing_mm, rng)
        return made.slab, made.mask

    def paint(
        self, slab: Slab, mask: NDArray[np.uint8], spacing_mm: Spacing, rng: np.random.Generator
    ) -> Implanted:
        """Paint lesions into copies of a slab and its mask.

        Args:
            slab: (x, y, 3) grey values of a slice between its neighbours; three times the same for a lone slice.
            mask: (x, y) classes of the slice in the middle.
            spacing_mm: Distance of pixels along x and y, and of slices; the last is not used for a lone slice.
            rng: Source of all randomness.

        Returns:
            Both as they came, where the slice shows no brain.
        """
        settings = self._settings
        brain = find_brain(slab[..., 1])
        if brain is None:
            return Implanted(slab, mask, ())
        stack = slab
        if _is_lone(slab):
            stack = slab[..., :1]
            if rng.random() < settings.lone_neighbours:
                stack = _shifted_copies(slab[..., 1], rng)
            spacing_mm = (spacing_mm[0], spacing_mm[1], rng.uniform(*settings.lone_slice_mm))
        scene = make_scene(stack, mask, spacing_mm, brain, settings, rng)
        for _ in range(int(rng.poisson(settings.distractors))):
            paint_distractor(rng, scene)
        implants = () if rng.random() < settings.empty else self._paint_lesions(scene, rng)
        return Implanted(_finish(scene, settings, slab.shape[2]), scene.mask, implants)

    def draw_lesion(self, rng: np.random.Generator, slice_mm: float) -> tuple[Kind, float]:
        """Draw a kind and a diameter in mm."""
        odds: Odds = self._settings.lesions[int(rng.choice(len(self._weights), p=self._weights))]
        low, high = odds.diameter_mm
        low = min(max(low, THINNEST_SHARE * slice_mm), high)
        return odds.kind, float(np.exp(rng.uniform(np.log(low), np.log(high))))

    def _paint_lesions(self, scene: Scene, rng: np.random.Generator) -> tuple[Implant, ...]:
        room = Room(scene)
        fewest, most = self._settings.count
        wanted = int(rng.integers(fewest, most, endpoint=True))
        painted = [self._paint_lesion(scene, room, rng) for _ in range(wanted)]
        return tuple(implant for implant in painted if implant is not None)

    def _paint_lesion(self, scene: Scene, room: Room, rng: np.random.Generator) -> Implant | None:
        settings = self._settings
        if self._bank and rng.random() < settings.pasted:
            return self._paste(scene, room, rng)
        kind, diameter = self.draw_lesion(rng, scene.spacing_mm[2])
        at_edge = bool(rng.random() < settings.at_edge)
        parts = int(rng.integers(3, 8)) if kind is Kind.CLUSTER else 1
        pixel = scene.pixel_mm
        extent = diameter / 2 / pixel
        centre = room.find(rng, extent, at_edge=at_edge)
        if centre is None:
            return None
        seen = self._paint_at(scene, kind, diameter, centre, rng)
        for _ in range(parts - 1):
            nearby = rng.normal(0, rng.uniform(5, 12) / pixel, 2)
            size = float(np.exp(rng.uniform(np.log(2.0), np.log(diameter + 0.1))))
            self._paint_at(scene, kind, size, (centre[0] + nearby[0], centre[1] + nearby[1]), rng)
        return Implant(kind, diameter, centre) if seen else None

    def _paint_at(
        self, scene: Scene, kind: Kind, diameter: float, centre: tuple[float, float], rng: np.random.Generator
    ) -> bool:
        settings = self._settings
        depth = rng.uniform(-0.45, 0.45) * diameter
        placed = Placed(draw_outline(rng, kind, diameter), centre, depth)
        if diameter > settings.oedema_from_mm and rng.random() < settings.oedema:
            reach = rng.uniform(*settings.oedema_reach_mm)
            paint_oedema(rng, scene, placed, rng.uniform(*settings.oedema_darkness), reach)
        cystic = kind in (Kind.CYST, Kind.NODULE, Kind.MULTILOCULAR)
        core = scene.brain.fluid * rng.uniform(*settings.cyst)
        if not cystic:
            core = scene.brain.white * rng.uniform(*settings.core)
        return paint_lesion(rng, scene, placed, draw_look(rng, core, settings.grain), settings.class_number)

    def _paste(self, scene: Scene, room: Room, rng: np.random.Generator) -> Implant | None:
        tumour = self._bank[int(rng.integers(len(self._bank)))]
        pixel = scene.pixel_mm
        diameter = draw_diameter(rng, tumour, self._settings.pasted_mm, pixel)
        centre = room.find(rng, diameter / 2 / pixel, at_edge=bool(rng.random() < self._settings.at_edge))
        if centre is None:
            return None
        seen = paste_tumour(rng, scene, tumour, diameter, centre, self._settings.class_number)
        return Implant(Kind.PASTED, diameter, centre) if seen else None


def _is_lone(slab: Slab) -> bool:
    middle = slab[..., 1]
    return bool((slab[..., 0] == middle).all() and (slab[..., 2] == middle).all())


def _shifted_copies(plane: NDArray[np.uint8], rng: np.random.Generator) -> Slab:
    """Put a slice (x, y) between copies of it that are shifted by up to a pixel."""
    size = (plane.shape[1], plane.shape[0])
    source = np.ascontiguousarray(plane)
    below, above = (
        cv2.warpAffine(source, np.array([[1, 0, dy], [0, 1, dx]]), size) for dx, dy in rng.uniform(-1, 1, (2, 2))
    )
    return np.stack([below, plane, above], axis=-1).astype(np.uint8, copy=False)


def _finish(scene: Scene, settings: ImplantSettings, slices: int) -> Slab:
    """Return the grey values as uint8, (x, y, slices)."""
    values = scene.values
    head = int(np.count_nonzero(scene.brain.head)) * scene.slices
    if np.count_nonzero(values > 255) > OUTSHINING_SHARE * head:
        pixels = rescale_grey(np.rint(np.maximum(values, 0)).astype(np.uint16), settings.intensity)
    else:
        pixels = np.asarray(cv2.convertScaleAbs(values), dtype=np.uint8).reshape(values.shape)
    return np.repeat(pixels, slices, axis=2) if scene.slices == 1 else pixels
