"""Lesions: the connected parts of a mask, counted and measured in 3-D on the source grid."""

from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from metseg.report import Lesion
from metseg.volume import Volume


@dataclass(frozen=True)
class LesionRules:
    """What counts as a lesion and in which units it is measured.

    Attributes:
        min_mm3: Smaller components of a volume are dropped; 0 keeps all.
        min_px: The same for a picture, in pixels.
        is_picture: One slice of no known place: pixel fields instead of volume and position.
        has_spacing: False for a picture whose affine counts pixels.
    """

    min_mm3: float = 0.0
    min_px: int = 0
    is_picture: bool = False
    has_spacing: bool = True


@dataclass(frozen=True)
class Diameters:
    """Longest distance across one slice of a lesion, and the longest extent at right angles to it, in mm."""

    longest: float
    perpendicular: float
    slice_index: int


def find_lesions(
    mask: Volume, probability: NDArray[np.float32], rules: LesionRules
) -> tuple[list[Lesion], NDArray[np.uint16]]:
    """Split a binary mask into lesions, largest first.

    Args:
        mask: (x, y, z) of 0 and 1; voxels that touch by a corner belong together (26 neighbours).
        probability: (x, y, z) on the same grid, for each lesion's mean.
        rules: The smallest lesion and the units.

    Returns:
        One `Lesion` per component and a label image that numbers them alike; nothing for an empty mask.
    """
    labels = label_lesions(mask, rules)
    boxes = cc3d.statistics(labels)["bounding_boxes"]
    lesions = []
    for label in range(1, int(labels.max()) + 1):
        box = boxes[label]
        lesions.append(_measure(label, labels[box] == label, box, mask, probability, rules))
    return lesions, labels


def label_lesions(mask: Volume, rules: LesionRules) -> NDArray[np.uint16]:
    """Number the connected parts of a binary mask that are large enough, largest first; 0 is everything else."""
    components, count = cc3d.connected_components(mask.array.astype(np.uint8), connectivity=26, return_N=True)
    sizes = np.bincount(components.reshape(-1), minlength=count + 1)
    smallest = rules.min_px if rules.is_picture else rules.min_mm3 / mask.voxel_mm3
    order = [c for c in np.argsort(-sizes[1:], kind="stable") + 1 if sizes[c] >= smallest]
    numbers = np.zeros(count + 1, np.uint16)
    numbers[order] = np.arange(1, len(order) + 1)
    return np.asarray(numbers[components])


def in_plane_diameters(inside: NDArray[np.bool_], affine: NDArray[np.float64], slice_axis: int) -> Diameters:
    """Measure a lesion in the slice in which it is longest.

    Distances run between the points where the outline crosses from voxel to voxel (half a voxel beyond the outer
    centres), so a single voxel is as long as its spacing.

    Args:
        inside: (x, y, z), true inside of the lesion.
        affine: (4, 4) of that array.
        slice_axis: The axis across the slices.
    """
    axes = [axis for axis in range(3) if axis != slice_axis]
    edges = affine[:3, axes]
    slices = np.moveaxis(inside, slice_axis, 0)
    best = Diameters(0.0, 0.0, 0)
    for index in np.flatnonzero(slices.any(axis=(1, 2))):
        outline = _outline(slices[index]) @ edges.T
        corners = outline[_hull(slices[index])]
        apart = np.linalg.norm(corners[:, None] - corners[None], axis=-1)
        if apart.max() > best.longest + 1e-9:
            a, b = np.unravel_index(apart.argmax(), apart.shape)
            along = (corners[b] - corners[a]) / apart.max()
            across = _extent_across(outline, along, edges)
            best = Diameters(float(apart.max()), across, int(index))
    return best


def _measure(
    label: int,
    inside: NDArray[np.bool_],
    box: tuple[slice, slice, slice],
    mask: Volume,
    probability: NDArray[np.float32],
    rules: LesionRules,
) -> Lesion:
    slice_axis = slice_axis_of(mask)
    diameters = in_plane_diameters(inside, mask.affine, slice_axis)
    corner = np.array([part.start for part in box])
    centre = (np.argwhere(inside).mean(axis=0) + corner)[None]
    voxels = int(inside.sum())
    fields: dict[str, Any] = {}
    if not rules.is_picture:
        fields["volume_mm3"] = voxels * mask.voxel_mm3
        fields["centroid_ras_mm"] = tuple(mask.world(centre)[0].tolist())
    else:
        fields |= _picture_fields(inside, centre[0], mask, rules)
    if rules.has_spacing:
        fields["longest_diameter_mm"] = diameters.longest
        fields["perpendicular_diameter_mm"] = diameters.perpendicular
    return Lesion(
        label=label,
        voxels=voxels,
        mean_probability=float(np.clip(probability[box][inside].mean(dtype=np.float64), 0, 1)),
        slice_axis=slice_axis,
        slice_index=diameters.slice_index + int(corner[slice_axis]),
        **fields,
    )


def _picture_fields(
    inside: NDArray[np.bool_], centre: NDArray[np.float64], mask: Volume, rules: LesionRules
) -> dict[str, Any]:
    in_pixels = in_plane_diameters(inside, np.eye(4), 2)
    area = int(inside.sum())
    x_mm, y_mm, _ = mask.spacing_mm
    return {
        "area_px": area,
        "area_mm2": area * x_mm * y_mm if rules.has_spacing else None,
        "longest_diameter_px": in_pixels.longest,
        "perpendicular_diameter_px": in_pixels.perpendicular,
        "centroid_px": (float(centre[0]), float(centre[1])),
    }


def slice_axis_of(volume: Volume) -> int:
    """The array axis that runs nearest to feet–head: slices across it are the ones nearest to axial."""
    return next(axis for axis, code in enumerate(volume.orientation) if code in "SI")


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Midpoints between each voxel of a slice and its neighbours outside, `(n, 2)` in voxel indices."""
    padded = np.pad(inside, 1).astype(np.int8)
    points = []
    for axis, half in ((0, (0.5, 0.0)), (1, (0.0, 0.5))):
        crossings = np.argwhere(np.diff(padded, axis=axis) != 0)
        points.append(crossings - 1 + np.array(half))
    return np.concatenate(points)


def _hull(inside: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Indices of the outline's points that lie on its convex hull; an affine map keeps them the same."""
    return np.asarray(ConvexHull(_outline(inside)).vertices)


def _extent_across(outline: NDArray[np.float64], along: NDArray[np.float64], edges: NDArray[np.float64]) -> float:
    """Longest extent at right angles to `along`, measured in strips as wide as a voxel."""
    normal = np.cross(edges[:, 0], edges[:, 1])
    sideways = np.cross(normal / np.linalg.norm(normal), along)
    width = float(np.linalg.norm(edges, axis=0).max())
    position, offset = outline @ along, outline @ sideways
    strip = np.floor((position - position.min()) / width).astype(int)
    highest = np.full(strip.max() + 1, -np.inf)
    lowest = np.full(strip.max() + 1, np.inf)
    np.maximum.at(highest, strip, offset)
    np.minimum.at(lowest, strip, offset)
    return float((highest - lowest).max())
