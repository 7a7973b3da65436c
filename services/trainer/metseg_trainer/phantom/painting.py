"""Lesions painted onto a scan's own grid, with exact partial volume."""

import numpy as np
from numpy.typing import NDArray

from metseg_trainer.phantom.anatomy import Map
from metseg_trainer.phantom.fields import smooth_field
from metseg_trainer.phantom.grid import ScanGrid
from metseg_trainer.phantom.head import Look
from metseg_trainer.phantom.presets import LesionKind
from metseg_trainer.phantom.regions import ENHANCING, NECROSIS
from metseg_trainer.phantom.shapes import LesionShape

Box = tuple[slice, slice, slice]


def paint_lesions(
    rng: np.random.Generator, grid: ScanGrid, image: Map, shapes: list[LesionShape], look: Look
) -> tuple[NDArray[np.uint16], NDArray[np.uint8], list[float]]:
    """Blend lesions into an image, in place.

    Args:
        rng: Source of the random numbers.
        grid: The grid of `image`.
        image: Head with white matter at 1.
        shapes: Lesions inside the grid.
        look: Its fluid fills cysts.

    Returns:
        Labels 1… in the order of `shapes`, their regions, and the brightness of each one's enhancing part. A voxel
        belongs to a lesion that fills half of it or, for a lesion that nowhere fills so much, half of its best
        voxel; it is necrosis where the core fills most of the lesion's share, else it enhances.
    """
    labels = np.zeros(grid.shape, np.uint16)
    regions = np.zeros(grid.shape, np.uint8)
    enhancements: list[float] = []
    usual = rng.uniform(1.3, 2.3)
    for label, shape in enumerate(shapes, start=1):
        brightness = float(np.clip(usual * np.exp(rng.normal(0, 0.12)), 1.2, 2.5))
        box, whole, core = coverage(grid, shape)
        inner = look.fluid * 1.1 if shape.kind is LesionKind.CYSTIC else rng.uniform(0.35, 0.85)
        knots = max(2, round(2 * shape.reach_mm / 3.5))
        texture = 1 + np.float32(rng.uniform(0, 0.14)) * smooth_field(rng, (box_shape := whole.shape), knots)
        depths = inner * (1 + (shape.kind is LesionKind.RING) * 0.2 * smooth_field(rng, box_shape, knots))
        part = image[box]
        part += (whole - core) * (brightness * texture) + core * depths.astype(np.float32) - whole * part
        marked = whole >= min(0.5, 0.5 * float(whole.max()))
        labels[box][marked] = label
        regions[box][marked] = np.where(core[marked] > 0.5 * whole[marked], NECROSIS, ENHANCING)
        enhancements.append(brightness)
    return labels, regions, enhancements


def coverage(grid: ScanGrid, shape: LesionShape) -> tuple[Box, Map, Map]:
    """Measure which share of each voxel around a lesion is lesion, and which is core.

    Returns:
        The box of voxels, and both shares there, 0 to 1.
    """
    spacing = np.array(grid.spacing_mm)
    fine_mm = np.clip(shape.diameter_mm / 24, 0.2, 0.6)
    cuts = np.ceil(spacing / fine_mm).astype(int)
    low = np.floor((shape.centre_mm - shape.reach_mm - grid.first_mm) / spacing + 0.5).astype(int)
    high = np.floor((shape.centre_mm + shape.reach_mm - grid.first_mm) / spacing + 0.5).astype(int) + 1
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
