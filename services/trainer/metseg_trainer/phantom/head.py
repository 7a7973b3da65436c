"""The head without lesions, composed in template space with white matter at 1."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metseg_trainer.phantom.anatomy import Map, Template
from metseg_trainer.phantom.fields import smooth_field
from metseg_trainer.phantom.vessels import paint_tube, vessel_map


@dataclass(frozen=True)
class Look:
    """One head's tissues, in units of white matter, and the thickness of its layers in mm."""

    grey: float
    fluid: float
    fat: float
    muscle: float
    bone: float
    marrow: float
    vessel: float
    vessels: int
    dura: float
    dura_mm: float
    plexus: float
    gap_mm: float
    skull_mm: float
    scalp_mm: float
    tissue_edge: float
    white_sharpness: float
    bare: bool


@dataclass(frozen=True)
class Oedema:
    """A dark halo in white matter: template millimetres, radius, how dark (0 is not at all), lesion or not."""

    centre_mm: tuple[float, float, float]
    radius_mm: float
    darkness: float
    has_lesion: bool = True


def draw_look(rng: np.random.Generator, *, bare: bool) -> Look:
    """Draw a head's contrast: gradient-echo like (grey far from white) or spin-echo like (flat, dark blood)."""
    flat = rng.random() < 0.5
    dim_vessels = rng.random() < 0.2
    return Look(
        grey=rng.uniform(0.8, 0.95) if flat else rng.uniform(0.62, 0.82),
        fluid=rng.uniform(0.3, 0.55) if flat else rng.uniform(0.12, 0.35),
        fat=rng.uniform(1.1, 2.6),
        muscle=rng.uniform(0.5, 0.9),
        bone=rng.uniform(0.03, 0.15),
        marrow=rng.uniform(0.1, 1.2),
        vessel=rng.uniform(0.35, 0.9) if dim_vessels else rng.uniform(1.1, 2.5),
        vessels=int(rng.integers(60, 320)),
        dura=rng.uniform(0.9, 2.2),
        dura_mm=rng.uniform(0.4, 1.4),
        plexus=rng.uniform(0.9, 2.2),
        gap_mm=rng.uniform(0.0, 2.5),
        skull_mm=rng.uniform(4.5, 8.5),
        scalp_mm=rng.uniform(4.0, 8.5),
        tissue_edge=rng.uniform(0.5, 0.78),
        white_sharpness=rng.uniform(1.3, 3.0),
        bare=bare,
    )


def compose_head(rng: np.random.Generator, template: Template, look: Look, halos: list[Oedema]) -> Map:
    """Make the head: air, scalp, skull, dura, fluid, brain, vessels.

    Returns:
        float32 on the template's grid; white matter 1, air 0.
    """
    brain = _brain(rng, template, look, halos)
    blood = vessel_map(rng, template, look.vessels)
    _add_venous_lakes(rng, template, blood)
    if look.bare:
        inside = _ramp(-template.depth - 1, template)
        _mix(brain, blood, look.vessel)
        brain *= inside
        return brain
    head = _shell(rng, template, look)
    head += _ramp(look.gap_mm - template.depth, template) * (brain - head)
    _mix(head, _dura(rng, template, look), look.dura)
    _mix(head, blood, look.vessel)
    return head


def _brain(rng: np.random.Generator, template: Template, look: Look, halos: list[Oedema]) -> Map:
    atrophy = look.tissue_edge + 0.08 * smooth_field(rng, template.shape, 6)
    tissue: Map = np.clip((template.tissue - atrophy) * 3 + 0.5, 0, 1)
    white = np.clip((template.white - 0.5) * np.float32(look.white_sharpness) + 0.5, 0, 1)
    for halo in halos:
        _darken(rng, template, white, halo)
    brain: Map = np.float32(look.grey) + np.float32(1 - look.grey) * white
    brain *= 1 + 0.03 * smooth_field(rng, template.shape, 22)
    brain = tissue * (brain - np.float32(look.fluid)) + np.float32(look.fluid)
    ventricle = (1 - tissue) * ((template.depth < -22) & (template.axes_mm()[1] < 0))
    clumps = smooth_field(rng, template.shape, 60) + 0.5 * smooth_field(rng, template.shape, 14)
    _mix(brain, ventricle * np.clip(clumps - 1.1, 0, 1), look.plexus)
    return brain


def _darken(rng: np.random.Generator, template: Template, white: Map, halo: Oedema) -> None:
    """Lower `white` within a ragged ball, in place; grey matter, where it is near 0, stays as it is."""
    reach = halo.radius_mm * 1.6
    low, high = (
        np.clip(
            np.rint((np.array(halo.centre_mm) + side - template.affine[:3, 3]) / template.step_mm).astype(int),
            0,
            template.shape,
        )
        for side in (-reach, reach)
    )
    if (high - low < 2).any():
        return
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    x, y, z = template.axes_mm()
    cx, cy, cz = halo.centre_mm
    distance = np.sqrt((x[box[0]] - cx) ** 2 + (y[:, box[1]] - cy) ** 2 + (z[:, :, box[2]] - cz) ** 2)
    ragged = distance / halo.radius_mm + 0.15 * smooth_field(rng, white[box].shape, 5)
    white[box] -= white[box] * halo.darkness * np.clip((1.1 - ragged) * 3, 0, 1)


def _shell(rng: np.random.Generator, template: Template, look: Look) -> Map:
    """Everything outside the inner skull: air, skin, fat, muscle, skull with marrow, a face of mixed tissue."""
    shape = template.shape
    bone_mm = look.skull_mm * (1 + 0.15 * smooth_field(rng, shape, 5))
    table = look.gap_mm + look.dura_mm
    scalp_mm = look.scalp_mm * (1 + 0.15 * smooth_field(rng, shape, 4))
    outer = np.minimum(template.depth, template.outline) - (table + bone_mm + scalp_mm)
    head = _soft_tissue(rng, template, look)
    _mix(head, _ramp(outer + scalp_mm * 0.8, template), look.fat * (1 + 0.1 * smooth_field(rng, shape, 16)))
    _mix(head, _ramp(outer + 1.8, template), look.muscle)
    _mix(
        head,
        _ramp(template.depth - table, template) * _ramp(table + bone_mm - template.depth, template),
        look.bone,
    )
    marrow = _ramp(template.depth - table - 0.3 * bone_mm, template)
    marrow *= _ramp(table + 0.75 * bone_mm - template.depth, template)
    _mix(head, marrow * np.clip(0.5 + 0.5 * smooth_field(rng, shape, 8), 0, 1), look.marrow)
    head *= _ramp(-outer, template)
    return head


def _soft_tissue(rng: np.random.Generator, template: Template, look: Look) -> Map:
    """Muscle with fat, air-filled cavities and the bright mucosa around them."""
    cavities = smooth_field(rng, template.shape, 16)
    lumps = smooth_field(rng, template.shape, 26)
    tissue = np.full(template.shape, look.muscle, np.float32)
    _mix(tissue, np.clip((lumps - 0.4) * 3, 0, 1), look.fat)
    _mix(tissue, np.clip(1 - np.abs(cavities - 1.0) * 5, 0, 1), look.dura)
    _mix(tissue, np.clip((cavities - 1.1) * 8, 0, 1), 0.02)
    return tissue


def _dura(rng: np.random.Generator, template: Template, look: Look) -> Map:
    """Weight of the enhancing sheets: the lining of the skull, the falx and the tentorium."""
    x, y, z = template.axes_mm()
    patchy = np.clip(0.6 + 0.35 * smooth_field(rng, template.shape, 12), 0.1, 1)
    lining = template.depth - look.gap_mm
    sheet = _ramp(lining, template) * _ramp(look.dura_mm - lining, template)
    half = look.dura_mm * 0.5
    bend = rng.normal(0, 1.0) * np.sin((y + 20) / 40) + rng.normal(0, 0.5)
    gap = np.clip(1.15 - template.tissue, 0, 1) * (template.depth < 0)
    over = (np.sqrt((y + 20) ** 2 + (z - 5) ** 2) > 42) & (z > -18)
    falx = np.clip((half - np.abs(x - bend)) / template.step_mm + 0.5, 0, 1) * over
    roof = -22 + 0.5 * (y + 95) - 0.0062 * x**2 - 0.15 * np.abs(x)
    notch = (np.abs(x) > 0.5 * np.maximum(y + 55, 0) + 6) & (y < -25) & (y > -105) & (np.abs(x) < 62)
    tent = np.clip((half - np.abs(z - roof) * 0.9) / template.step_mm + 0.5, 0, 1) * notch
    weight: Map = np.maximum(sheet, np.maximum(falx, tent) * gap) * patchy
    return weight


def _add_venous_lakes(rng: np.random.Generator, template: Template, blood: Map) -> None:
    """Add what also enhances in everybody: pituitary, cavernous sinuses, pineal gland, granulations."""
    spots = [
        ((0.0, 4.0, -34.0), rng.uniform(2.5, 4.5)),
        ((-11.0, 2.0, -33.0), rng.uniform(3.0, 5.0)),
        ((11.0, 2.0, -33.0), rng.uniform(3.0, 5.0)),
        ((0.0, -29.0, 1.0), rng.uniform(1.0, 3.0)),
    ]
    points = np.array([centre for centre, _ in spots]) + rng.normal(0, 1.0, (len(spots), 3))
    paint_tube(blood, template, points, np.array([radius for _, radius in spots]))


def _ramp(distance: NDArray[np.floating], template: Template) -> Map:
    """1 where `distance` (mm) is positive, 0 where negative, linear over one voxel."""
    ramp: Map = np.clip(distance * np.float32(1 / template.step_mm) + np.float32(0.5), 0, 1)
    return ramp


def _mix(image: Map, weight: Map, value: float | Map) -> None:
    """Blend `value` into an image by weight, in place."""
    image += weight * (np.float32(value) - image if isinstance(value, float) else value - image)
