"""Lesions painted onto a scan's own grid, with exact partial volume."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from metseg_trainer.phantom.anatomy import Map
from metseg_trainer.phantom.fields import smooth_field
from metseg_trainer.phantom.grid import ScanGrid
from metseg_trainer.phantom.head import Look
from metseg_trainer.phantom.presets import CYSTS, LesionKind, PaintLaw
from metseg_trainer.phantom.regions import ENHANCING, NECROSIS
from metseg_trainer.phantom.shapes import LesionShape

Box = tuple[slice, slice, slice]

TISSUE_MM = 5.0
"""The image blurred by so much is the tissue that a lesion's brightness is relative to, where it is."""

DARKEST_TISSUE = np.float32(0.7)
"""Fluid nearby does not make a lesion darker than this share of its brightness."""


def paint_lesions(
    rng: np.random.Generator, grid: ScanGrid, image: Map, shapes: list[LesionShape], look: Look, law: PaintLaw
) -> tuple[NDArray[np.uint16], NDArray[np.uint8], list[float]]:
    """Blend lesions into an image, in place.

    Args:
        rng: Source of the random numbers.
        grid: The grid of `image`.
        image: Head with white matter at 1.
        shapes: Lesions inside the grid.
        look: Its fluid fills cysts.
        law: How lesions look.

    Returns:
        Labels 1… in the order of `shapes`, their regions, and the brightness of each one's enhancing part. A voxel
        belongs to a lesion that fills half of it or, for a lesion that nowhere fills so much, half of its best
        voxel; it is necrosis where the core fills most of the lesion's share, else it enhances.
    """
    labels = np.zeros(grid.shape, np.uint16)
    regions = np.zeros(grid.shape, np.uint8)
    enhancements: list[float] = []
    usual = rng.uniform(*law.enhancement)
    if law.faint_share and rng.random() < law.faint_share:
        usual = rng.uniform(*law.faint)
    for label, shape in enumerate(shapes, start=1):
        brightness = float(np.clip(usual * np.exp(rng.normal(0, 0.12)), *law.brightness))
        edge_mm, inner_edge_mm = (rng.uniform(*one) if one[1] else 0.0 for one in (law.edge_mm, law.inner_edge_mm))
        box, whole, core = coverage(grid, shape, margin_mm=3 * edge_mm)
        marked = whole >= min(0.5, 0.5 * float(whole.max()))
        labels[box][marked] = label
        regions[box][marked] = np.where(core[marked] > 0.5 * whole[marked], NECROSIS, ENHANCING)
        whole, core = _blurred(whole, grid, edge_mm), _blurred(core, grid, max(edge_mm, inner_edge_mm))
        inner = _core_brightness(rng, shape.kind, look, law)
        knots = max(2, round(2 * shape.reach_mm / law.texture_mm))
        texture = 1 + np.float32(rng.uniform(*law.texture)) * smooth_field(rng, whole.shape, knots)
        texture = np.maximum(texture, np.float32(law.dimmest))
        depths = inner * (1 + (shape.kind is LesionKind.RING) * 0.2 * smooth_field(rng, whole.shape, knots))
        part = image[box]
        if law.on_tissue:
            texture *= np.maximum(_blurred(part, grid, TISSUE_MM), DARKEST_TISSUE)
        core = np.minimum(core, whole)
        part += (whole - core) * (brightness * texture) + core * depths.astype(np.float32) - whole * part
        enhancements.append(brightness)
    return labels, regions, enhancements


def _core_brightness(rng: np.random.Generator, kind: LesionKind, look: Look, law: PaintLaw) -> float:
    if kind is LesionKind.CYSTIC:
        return look.fluid * 1.1
    return look.fluid * rng.uniform(*law.fluid) if kind in CYSTS else rng.uniform(*law.necrosis)


def _blurred(shares: Map, grid: ScanGrid, sigma_mm: float) -> Map:
    if not sigma_mm:
        return shares
    blurred: Map = ndimage.gaussian_filter(
        shares, [sigma_mm / spacing for spacing in grid.spacing_mm], truncate=3.0
    )
    return blurred


def coverage(grid: ScanGrid, shape: LesionShape, *, margin_mm: float = 0.0) -> tuple[Box, Map, Map]:
    """Measure which share of each voxel around a lesion, and `margin_mm` farther, is lesion, and which is core.

    Returns:
        The box of voxels, and both shares there, 0 to 1.
    """
    spacing = np.array(grid.spacing_mm)
    fine_mm = np.clip(shape.diameter_mm / 24, 0.2, 0.6)
    cuts = np.ceil(spacing / fine_mm).astype(int)
    reach_mm = shape.reach_mm + margin_mm
    low = np.floor((shape.centre_mm - reach_mm - grid.first_mm) / spacing + 0.5).astype(int)
    high = np.floor((shape.centre_mm + reach_mm - grid.first_mm) / spacing + 0.5).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, grid.shape)
    lines = [
        grid.first_mm[k] + spacing[k] * (low[k] - 0.5 + (np.arange((high[k] - low[k]) * cuts[k]) + 0.5) / cuts[k])
        for k in range(3)
    ]
    points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3)
    whole, core = (_shares(flags, high - low, cuts) for flags in shape.fill(points))
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return (x, y, z), whole, core


def _shares(flags: NDArray[np.bool_], counts: NDArray[np.int_], cuts: NDArray[np.int_]) -> Map:
    fine = flags.reshape(counts[0], cuts[0], counts[1], cuts[1], counts[2], cuts[2])
    shares: Map = fine.mean(axis=(1, 3, 5), dtype=np.float32)
    return shares
