"""Which lesions a scan gets, and where they sit."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metseg_trainer.phantom.anatomy import Template
from metseg_trainer.phantom.grid import Pose, ScanGrid
from metseg_trainer.phantom.head import Oedema
from metseg_trainer.phantom.presets import LesionKind, LesionShare, PhantomPreset
from metseg_trainer.phantom.shapes import LesionShape, draw_shape

GAP_MM = 3.0
"""Clear brain between two lesions, so that each is a component of its own on coarse grids too."""

CLUSTER_GAP_MM = 1.8
"""The same between members of a cluster, within a slice plane: more than the diagonal of any preset's pixel."""

SMALLEST_MEMBER_MM = 2.5

WIDEST_OEDEMA_MM = 25.0
"""Around a lesion, from its surface."""


def draw_lesions(
    rng: np.random.Generator, preset: PhantomPreset, slice_mm: float
) -> list[tuple[LesionKind, float]]:
    """Draw kind and diameter of each lesion, largest first, unless the preset names them."""
    if preset.lesions is not None:
        return list(preset.lesions)
    if preset.mixture is not None:
        return draw_mixture(rng, preset, preset.mixture, slice_mm)
    return [(draw_kind(rng, preset, diameter), diameter) for diameter in draw_diameters(rng, preset, slice_mm)]


def draw_diameters(rng: np.random.Generator, preset: PhantomPreset, slice_mm: float) -> list[float]:
    """Draw how many lesions there are and their diameters, largest first.

    Few scans hold many and many lesions are small; what is thinner than 0.6 slices could not be seen and is
    drawn again.
    """
    count = _draw_count(rng, preset)
    smallest = max(preset.diameter_mm[0], 0.6 * slice_mm)
    diameters: list[float] = []
    while len(diameters) < count:
        diameter = float(np.exp(rng.normal(np.log(preset.median_diameter_mm), preset.diameter_sigma)))
        if smallest <= diameter <= preset.diameter_mm[1]:
            diameters.append(diameter)
    return sorted(diameters, reverse=True)


def draw_mixture(
    rng: np.random.Generator, preset: PhantomPreset, mixture: Sequence[LesionShare], slice_mm: float
) -> list[tuple[LesionKind, float]]:
    """Draw kind and diameter together, largest first; nothing is thinner than 0.6 slices."""
    weights = np.array([part.weight for part in mixture])
    drawn = []
    for index in rng.choice(len(mixture), _draw_count(rng, preset), p=weights / weights.sum()):
        part = mixture[int(index)]
        smallest, largest = part.diameter_mm
        smallest = min(max(smallest, 0.6 * slice_mm), largest)
        drawn.append((part.kind, float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))))
    return sorted(drawn, key=lambda lesion: -lesion[1])


def _draw_count(rng: np.random.Generator, preset: PhantomPreset) -> int:
    if rng.random() < preset.no_lesion_share:
        return 0
    return min(int(rng.geometric(1 / preset.mean_lesions)), preset.max_lesions)


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
        wanted: Kind and diameter of each lesion, largest first; each cluster gets two to five more members.

    Returns:
        The lesions that found room, largest first.
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
                if kind is LesionKind.CLUSTER:
                    placed += _draw_members(rng, template, grid, shape, placed[:-1])
                break
    return sorted(placed, key=lambda shape: -shape.diameter_mm)


def _draw_members(
    rng: np.random.Generator, template: Template, grid: ScanGrid, first: LesionShape, others: list[LesionShape]
) -> list[LesionShape]:
    """Put smaller lesions beside the first one of a cluster.

    Members lie apart within the slice plane, so that thick slices do not show two of them in one voxel.
    """
    members = [first]
    wanted = 1 + int(rng.integers(2, 6))
    smallest = max(SMALLEST_MEMBER_MM, 0.6 * grid.spacing_mm[2])
    for _ in range(12 * wanted):
        diameter = max(smallest, first.diameter_mm * rng.uniform(0.5, 1.0))
        beside = members[int(rng.integers(len(members)))]
        turn, rise = rng.uniform(0, 2 * np.pi), rng.uniform(-1, 1)
        shape = draw_shape(rng, LesionKind.CLUSTER, beside.centre_mm, diameter)
        away = beside.reach_mm + shape.reach_mm + CLUSTER_GAP_MM + rng.uniform(0, 3)
        offset = np.array([away * np.cos(turn), away * np.sin(turn), rise * away])
        shape = replace(shape, centre_mm=beside.centre_mm + offset)
        if (
            _lies_in_brain(template, grid, shape)
            and _is_apart(shape, others)
            and all(_is_beside(shape, member) for member in members)
        ):
            members.append(shape)
        if len(members) == wanted:
            break
    return members[1:]


def _lies_in_brain(template: Template, grid: ScanGrid, shape: LesionShape) -> bool:
    place = grid.pose.to_template(shape.centre_mm[None])
    room = -float(template.sample(template.depth, place)[0]) * grid.pose.smallest_stretch
    tissue = float(template.sample(template.tissue, place)[0])
    aside = abs(float(place[0, 0])) * grid.pose.smallest_stretch
    return grid.holds(shape.centre_mm, shape.reach_mm) and shape.reach_mm < min(room, aside) and tissue > 0.6


def _is_beside(shape: LesionShape, member: LesionShape) -> bool:
    away = float(np.linalg.norm((shape.centre_mm - member.centre_mm)[:2]))
    return away > shape.reach_mm + member.reach_mm + CLUSTER_GAP_MM


def draw_halos(rng: np.random.Generator, pose: Pose, shapes: list[LesionShape]) -> list[Oedema]:
    """Draw oedema around some lesions, the larger the likelier, and dark spots that have no lesion."""
    halos = []
    for shape in shapes:
        if rng.random() < min(0.9, shape.diameter_mm / 16):
            radius = shape.diameter_mm / 2 * rng.uniform(1.1, 1.8) + rng.uniform(1, 9)
            radius = min(radius, shape.diameter_mm / 2 + WIDEST_OEDEMA_MM)
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
