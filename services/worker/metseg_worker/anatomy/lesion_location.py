"""Where lesions lie in the head: on which side of its mid-sagittal plane, and how far from its surface."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from metseg.imaging.scan import Scan
from metseg.inference.segment import Segmentation
from metseg.schemas.report import HeadInfo, Hemisphere, Lesion
from metseg_worker.anatomy.head import Head, Plane, middle_plane, surface_mm
from metseg_worker.anatomy.neck import Anatomy

MIN_SIMILARITY: Final = 0.45
"""Phantoms whose plane was missed reached 0.42, real heads with tumours had 0.50 and more (decision 23)."""
NEAR_PLANE_MM: Final = 4.0
"""The plane is known to about half of this at a lesion, and the brain's own middle is not quite flat."""
LEAST_WIDTH_MM: Final = 80.0
FEWEST_BLOCKS: Final = 3
"""Along each axis; a slab need not show how the head is tilted, for that moves little within it."""

PICTURE: Final = "A single picture has no place in the head."
NO_PLACE: Final = "The file does not say where left and right are, so no hemisphere is told."
THIN: Final = "Too little of the head is shown to find the plane between left and right."
UNLIKE: Final = "The head is too unlike its mirror image to find the plane between left and right."
NO_AIR: Final = "There is too little air around the head to find its surface."
CUT: Final = "The scan ends nearer to these lesions than the surface of the head that it shows: {labels}."


@dataclass(frozen=True)
class Placed:
    """The lesions with their places, and what these rest on."""

    lesions: list[Lesion]
    head: HeadInfo


def placed(scan: Scan, segmentation: Segmentation, anatomy: Anatomy | None) -> Placed:
    """Tell where each lesion lies in the head; what cannot be had stays empty, and the reason is told."""
    if anatomy is None:
        return Placed(segmentation.lesions, HeadInfo(not_told=[PICTURE]))
    head = anatomy.head
    plane, why_no_plane = _plane(scan, head)
    distances, why_no_distance = _distances(head, segmentation)
    lesions = [
        lesion.updated(head_surface_mm=distances.get(lesion.label), **_side(lesion, plane))
        for lesion in segmentation.lesions
    ]
    info = HeadInfo(not_told=[*why_no_plane, *why_no_distance])
    if plane is not None:
        info = info.updated(
            midplane_right_ras=plane.normal,
            midplane_offset_mm=plane.offset_mm,
            midplane_likeness=plane.similarity,
        )
    return Placed(lesions, info)


def _plane(scan: Scan, head: Head) -> tuple[Plane | None, list[str]]:
    if not scan.knows_sides:
        return None, [NO_PLACE]
    if head.width_mm < LEAST_WIDTH_MM or min(head.grey.shape) < FEWEST_BLOCKS:
        return None, [THIN]
    plane = middle_plane(head)
    return (plane, []) if plane.similarity >= MIN_SIMILARITY else (None, [UNLIKE])


def _side(lesion: Lesion, plane: Plane | None) -> dict[str, object]:
    if plane is None or lesion.centroid_ras_mm is None:
        return {}
    right_mm = float(plane.right_mm(np.array([lesion.centroid_ras_mm]))[0])
    side = Hemisphere.RIGHT if right_mm > 0 else Hemisphere.LEFT
    return {
        "hemisphere": Hemisphere.MIDDLE if abs(right_mm) < NEAR_PLANE_MM else side,
        "right_of_midplane_mm": right_mm,
    }


def _distances(head: Head, segmentation: Segmentation) -> tuple[dict[int, float], list[str]]:
    """Of each lesion the way from its nearest voxel to the surface, by its number, as far as it is seen."""
    labels = [lesion.label for lesion in segmentation.lesions]
    if not labels:
        return {}, []
    if not head.has_surface:
        return {}, [NO_AIR]
    volume = segmentation.labels
    places = np.argwhere(volume.array)
    to_surface, to_end = surface_mm(head, volume.world(places))
    numbers = volume.array[tuple(places.T)]
    nearest = zip(
        labels, ndimage.minimum(to_surface, numbers, labels), ndimage.minimum(to_end, numbers, labels), strict=True
    )
    seen = {label: float(surface) for label, surface, end in nearest if surface <= end}
    cut = [str(label) for label in labels if label not in seen]
    return seen, [CUT.format(labels=", ".join(cut))] if cut else []
