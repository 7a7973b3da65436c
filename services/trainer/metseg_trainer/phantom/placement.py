"""Which lesions a scan gets, and where they sit."""

import numpy as np
from numpy.typing import NDArray

from metseg_trainer.phantom.anatomy import Template
from metseg_trainer.phantom.grid import Pose, ScanGrid
from metseg_trainer.phantom.head import Oedema
from metseg_trainer.phantom.presets import LesionKind, PhantomPreset
from metseg_trainer.phantom.shapes import LesionShape, draw_shape

GAP_MM = 3.0
"""Clear brain between two lesions, so that each is a component of its own on coarse grids too."""


def draw_lesions(
    rng: np.random.Generator, preset: PhantomPreset, slice_mm: float
) -> list[tuple[LesionKind, float]]:
    """Draw kind and diameter of each lesion, largest first, unless the preset names them."""
    if preset.lesions is not None:
        return list(preset.lesions)
    return [(draw_kind(rng, preset, diameter), diameter) for diameter in draw_diameters(rng, preset, slice_mm)]


def draw_diameters(rng: np.random.Generator, preset: PhantomPreset, slice_mm: float) -> list[float]:
    """Draw how many lesions there are and their diameters, largest first.

    Few scans hold many and many lesions are small; what is thinner than 0.6 slices could not be seen and is
    drawn again.
    """
    if rng.random() < preset.no_lesion_share:
        return []
    count = min(int(rng.geometric(1 / preset.mean_lesions)), preset.max_lesions)
    smallest = max(preset.diameter_mm[0], 0.6 * slice_mm)
    diameters: list[float] = []
    while len(diameters) < count:
        diameter = float(np.exp(rng.normal(np.log(preset.median_diameter_mm), preset.diameter_sigma)))
        if smallest <= diameter <= preset.diameter_mm[1]:
            diameters.append(diameter)
    return sorted(diameters, reverse=True)


def draw_kind(rng: np.random.Generator, preset: PhantomPreset, diameter_mm: float) -> LesionKind:
    """Draw a kind; small lesions are solid, large ones mostly not."""
    odds = {
        LesionKind.SOLID: 1.0 if diameter_mm < 6 else 0.5 if diameter_mm < 14 else 0.25,
        LesionKind.RING: 0.0 if diameter_mm < 6 else 0.35 if diameter_mm < 14 else 0.5,
        LesionKind.CYSTIC: 0.0 if diameter_mm < 8 else 0.15 if diameter_mm < 14 else 0.25,
    }
    weights = np.array([odds[kind] for kind in preset.kinds])
    if not weights.any():
        return preset.kinds[0]
    return preset.kinds[int(rng.choice(len(weights), p=weights / weights.sum()))]


def place_lesions(
    rng: np.random.Generator, template: Template, grid: ScanGrid, wanted: list[tuple[LesionKind, float]]
) -> list[LesionShape]:
    """Put lesions into the brain, away from dura, midline and each other; what finds no room is left out.

    Args:
        rng: Source of the random numbers.
        template: The anatomy that says where brain is.
        grid: The scan; lesions lie wholly inside its slices.
        wanted: Kind and diameter of each lesion, largest first.
    """
    placed: list[LesionShape] = []
    for kind, diameter_mm in wanted:
        places = _candidates(rng, template, grid.pose, diameter_mm / 2)
        rooms = -template.sample(template.depth, places) * grid.pose.smallest_stretch
        for centre, room in zip(grid.pose.to_grid(places), rooms, strict=True):
            shape = draw_shape(rng, kind, centre, diameter_mm)
            inside = grid.holds(centre, shape.reach_mm) and shape.reach_mm < room
            if inside and _is_apart(shape, placed):
                placed.append(shape)
                break
    return placed


def draw_halos(rng: np.random.Generator, pose: Pose, shapes: list[LesionShape]) -> list[Oedema]:
    """Draw oedema around some lesions, the larger the likelier, and dark spots that have no lesion."""
    halos = []
    for shape in shapes:
        if rng.random() < min(0.9, shape.diameter_mm / 16):
            radius = shape.diameter_mm / 2 * rng.uniform(1.1, 1.8) + rng.uniform(1, 9)
            halos.append(_halo(pose, shape.centre_mm, radius, rng.uniform(0.3, 1.1)))
    for _ in range(int(rng.integers(0, 4))):
        spot = rng.normal(0, 25, 3) + np.array([0, -15, 15])
        dark = Oedema((spot[0], spot[1], spot[2]), rng.uniform(2, 9), rng.uniform(0.3, 1.2), has_lesion=False)
        halos.append(dark)
    return halos


def _halo(pose: Pose, centre_mm: NDArray[np.float64], radius: float, darkness: float) -> Oedema:
    x, y, z = pose.to_template(centre_mm[None])[0]
    return Oedema((float(x), float(y), float(z)), radius, darkness)


def _candidates(
    rng: np.random.Generator, template: Template, pose: Pose, radius_mm: float, count: int = 3000
) -> NDArray[np.float64]:
    """Points deep enough for a ball of this radius and not across the midline; a few hundred at most."""
    picks = np.searchsorted(template.place_odds, rng.random(count))
    points = template.places[picks] + rng.uniform(-0.5, 0.5, (count, 3)) * template.step_mm
    needed = radius_mm / pose.smallest_stretch + 1.0
    deep = -template.sample(template.depth, points) > needed
    aside = np.abs(points[:, 0]) > min(needed, 14.0)
    return np.asarray(points[deep & aside], dtype=np.float64)[:300]


def _is_apart(shape: LesionShape, others: list[LesionShape]) -> bool:
    return all(
        float(np.linalg.norm(shape.centre_mm - other.centre_mm)) > shape.reach_mm + other.reach_mm + GAP_MM
        for other in others
    )
