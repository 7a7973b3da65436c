"""Lesions: the connected parts of a mask, counted and measured in 3-D on the source grid."""

from dataclasses import dataclass
from typing import Any, Final

import cc3d
import numpy as np
from numpy.typing import NDArray

from metseg.errors import TooManyLesionsError
from metseg.imaging.volume import Volume
from metseg.lesions.diameters import Diameters, Line, in_plane_diameters
from metseg.schemas.report import Lesion

MOST_LESIONS: Final = 65_535
"""So many segments may a DICOM segmentation have (PS3.3, C.8.20.2), and so many numbers has a uint16."""


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


@dataclass(frozen=True, eq=False)
class Found:
    """A lesion that is to be measured.

    Attributes:
        label: Its number.
        box: The part of the grid that it fills.
        inside: (x, y, z) of that part, true inside of the lesion.
    """

    label: int
    box: tuple[slice, slice, slice]
    inside: NDArray[np.bool_]

    @property
    def corner(self) -> NDArray[np.intp]:
        """Voxel indices of the box's first voxel."""
        return np.array([part.start for part in self.box])

    def touches_border(self, shape: tuple[int, ...]) -> bool:
        """Whether it reaches the border of a grid; the two sides of a lone slice are none."""
        sides = zip(self.box, shape, strict=True)
        return any(n > 1 and (part.start == 0 or part.stop == n) for part, n in sides)


def find_lesions(
    mask: Volume, probability: NDArray[np.float32], rules: LesionRules
) -> tuple[list[Lesion], NDArray[np.uint16]]:
    """Split a binary mask into lesions, largest first.

    Args:
        mask: (x, y, z) of 0 and 1; voxels that touch by a corner belong together (26 neighbours).
        probability: (x, y, z) on the same grid, for what the network says of each lesion.
        rules: The smallest lesion and the units.

    Returns:
        One `Lesion` per component and a label image that numbers them alike; nothing for an empty mask.

    Raises:
        TooManyLesionsError: There are more than `MOST_LESIONS`.
    """
    numbers, components = _numbered(mask, rules)
    count = int(numbers.max())
    if count > MOST_LESIONS:
        raise TooManyLesionsError(
            f"Expected at most {MOST_LESIONS} lesions, but {count} separate parts lie above the threshold: "
            "choose a higher one, or check that the scan is a head after contrast agent."
        )
    labels = numbers.astype(np.uint16)[components]
    boxes = cc3d.statistics(labels)["bounding_boxes"]
    lesions = []
    for label in range(1, count + 1):
        box = boxes[label]
        lesions.append(_measure(Found(label, box, labels[box] == label), mask, probability, rules))
    return lesions, labels


def label_lesions(mask: Volume, rules: LesionRules) -> NDArray[np.uint32]:
    """Number the connected parts of a binary mask that are large enough; 0 is everything else.

    The largest is 1. Equal ones go from right to left, then from back to front, then from feet to head, so that
    the numbers do not depend on the order in which the scan is stored.
    """
    numbers, components = _numbered(mask, rules)
    return np.asarray(numbers[components])


def _numbered(mask: Volume, rules: LesionRules) -> tuple[NDArray[np.uint32], NDArray[Any]]:
    """Return the lesion's number for each component, 0 where it is too small, and the image of components."""
    components, count = cc3d.connected_components(mask.array.astype(np.uint8), connectivity=26, return_N=True)
    about = cc3d.statistics(components)
    sizes, middles = about["voxel_counts"][1:], mask.world(about["centroids"][1:])
    smallest = rules.min_px if rules.is_picture else rules.min_mm3 / mask.voxel_mm3
    right, front, head = np.round(middles, 3).T
    order = np.lexsort((head, front, -right, -sizes.astype(np.int64)))
    order = order[sizes[order] >= smallest] + 1
    numbers = np.zeros(count + 1, np.uint32)
    numbers[order] = np.arange(1, len(order) + 1)
    return numbers, components


def slice_axis_of(volume: Volume) -> int:
    """The array axis that runs nearest to feet–head: slices across it are the ones nearest to axial."""
    return next(axis for axis, code in enumerate(volume.orientation) if code in "SI")


def _measure(found: Found, mask: Volume, probability: NDArray[np.float32], rules: LesionRules) -> Lesion:
    slice_axis = slice_axis_of(mask)
    others = tuple(axis for axis in range(3) if axis != slice_axis)
    diameters = in_plane_diameters(found.inside, mask.affine, slice_axis)
    seen = probability[found.box][found.inside]
    fields = _picture_fields(found, mask, rules) if rules.is_picture else _volume_fields(found, mask, diameters)
    if rules.has_spacing:
        fields["longest_diameter_mm"] = diameters.longest.length
        fields["perpendicular_diameter_mm"] = diameters.perpendicular.length
    return Lesion(
        label=found.label,
        voxels=len(seen),
        mean_probability=float(np.clip(seen.mean(dtype=np.float64), 0, 1)),
        max_probability=float(np.clip(seen.max(), 0, 1)),
        touches_border=found.touches_border(mask.shape),
        slice_axis=slice_axis,
        slice_index=diameters.slice_index + int(found.corner[slice_axis]),
        slices_spanned=int(found.inside.any(axis=others).sum()),
        **fields,
    )


def _volume_fields(found: Found, mask: Volume, diameters: Diameters) -> dict[str, Any]:
    volume_mm3 = float(found.inside.sum() * mask.voxel_mm3)
    return {
        "volume_mm3": volume_mm3,
        "equivalent_sphere_mm": float(np.cbrt(6 * volume_mm3 / np.pi)),
        "centroid_ras_mm": tuple(mask.world(_centre(found))[0].tolist()),
        "longest_diameter_ends_ras_mm": _ends(mask.world(_points(diameters.longest) + found.corner)),
        "perpendicular_diameter_ends_ras_mm": _ends(mask.world(_points(diameters.perpendicular) + found.corner)),
    }


def _picture_fields(found: Found, mask: Volume, rules: LesionRules) -> dict[str, Any]:
    in_pixels = in_plane_diameters(found.inside, np.eye(4), 2)
    ((column, row, _),) = _centre(found).tolist()
    area = int(found.inside.sum())
    x_mm, y_mm, _ = mask.spacing_mm
    return {
        "area_px": area,
        "area_mm2": area * x_mm * y_mm if rules.has_spacing else None,
        "longest_diameter_px": in_pixels.longest.length,
        "perpendicular_diameter_px": in_pixels.perpendicular.length,
        "centroid_px": (column, row),
        "longest_diameter_ends_px": _ends((_points(in_pixels.longest) + found.corner)[:, :2]),
        "perpendicular_diameter_ends_px": _ends((_points(in_pixels.perpendicular) + found.corner)[:, :2]),
    }


def _centre(found: Found) -> NDArray[np.float64]:
    """Mean of its voxel indices, (1, 3)."""
    return np.asarray(np.argwhere(found.inside).mean(axis=0) + found.corner)[None]


def _points(line: Line) -> NDArray[np.float64]:
    return np.array((line.start, line.end))


def _ends(points: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    start, end = points.tolist()
    return tuple(start), tuple(end)
