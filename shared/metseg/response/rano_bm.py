"""RANO-BM: which lesions are measurable, which are targets, and the sum of their diameters.

Lin et al., Response assessment criteria for brain metastases: proposal from the RANO group, Lancet Oncol 2015;
16:e270–278. One scan is judged for itself, as a baseline is. Every rule has a name, which each verdict gives.
"""

from typing import Final

import numpy as np

from metseg.imaging.volume import Volume
from metseg.lesions.find import slice_axis_of
from metseg.schemas.report import Lesion, RanoBm, RanoPlane, RanoRule, RanoVerdict

REFERENCE: Final = "Lin et al., Lancet Oncol 2015;16:e270-278"
LONGEST_MM: Final = 10.0
PERPENDICULAR_MM: Final = 5.0
FEWEST_SLICES: Final = 2
LARGEST_SPACING_MM: Final = 5.0
MOST_TARGETS: Final = 5
TOLERANCE_MM: Final = 1e-3
"""Headers round: a spacing of 5.0000002 mm is one of 5 mm."""

SENTENCES: Final = {
    RanoRule.VOLUME: "The scan is a volume, not a single picture.",
    RanoRule.SPACING: f"Slices, and the pixels within them, are at most {LARGEST_SPACING_MM:g} mm apart.",
    RanoRule.LONGEST: f"The longest diameter is {LONGEST_MM:g} mm or more.",
    RanoRule.PERPENDICULAR: f"The diameter at right angles to it is {PERPENDICULAR_MM:g} mm or more.",
    RanoRule.SLICES: f"The lesion is seen on {FEWEST_SLICES} slices or more.",
    RanoRule.MEASURABLE: "A lesion is measurable where all rules on its size hold.",
    RanoRule.TARGETS: f"The measurable lesions of the longest diameters are targets, {MOST_TARGETS} at most.",
    RanoRule.SUM: "The sum of longest diameters is taken over the targets.",
}

NOT_JUDGED: Final = (
    "whether the lesion enhances, is cystic, dural, of the bone or leptomeningeal",
    "whether its border can be measured again at the next visit",
    "whether it was treated before",
    "gaps between slices, which the grid does not tell",
    "steroids, clinical state and response over time, which need more than one scan",
)
"""What RANO-BM asks for and one mask cannot answer."""


def assess(lesions: list[Lesion], grid: Volume, *, is_picture: bool) -> RanoBm:
    """Judge the lesions of one scan.

    Args:
        lesions: As `find_lesions` measured them.
        grid: The source grid.
        is_picture: A single slice, of which nothing is measured as RANO-BM.

    Returns:
        With `applies` False, no verdicts and no sum where the slices forbid it.
    """
    plane = None if is_picture else plane_of(grid)
    broken = _broken(plane)
    if broken is not None:
        return RanoBm(reference=REFERENCE, applies=False, decided_by=broken, plane=plane, rules=SENTENCES)
    failed = {lesion.label: _failed(lesion) for lesion in lesions}
    by_length = sorted(lesions, key=lambda lesion: (-(lesion.longest_diameter_mm or 0.0), lesion.label))
    targets = [lesion for lesion in by_length if failed[lesion.label] is None][:MOST_TARGETS]
    labels = [lesion.label for lesion in targets]
    verdicts = [
        RanoVerdict(
            label=label, measurable=rule is None, target=label in labels, decided_by=rule or RanoRule.MEASURABLE
        )
        for label, rule in failed.items()
    ]
    return RanoBm(
        reference=REFERENCE,
        applies=True,
        decided_by=RanoRule.SPACING,
        plane=plane,
        rules=SENTENCES,
        not_judged=list(NOT_JUDGED),
        lesions=verdicts,
        targets=labels,
        measurable_count=sum(verdict.measurable for verdict in verdicts),
        sum_of_longest_diameters_mm=sum(lesion.longest_diameter_mm or 0.0 for lesion in targets),
        target_volume_mm3=sum(lesion.volume_mm3 or 0.0 for lesion in targets),
    )


def plane_of(grid: Volume) -> RanoPlane:
    """The plane in which diameters are measured, and how far it is from axial."""
    axis = slice_axis_of(grid)
    first, second = np.delete(grid.affine[:3, :3], axis, axis=1).T
    normal = np.cross(first, second)
    area_mm2 = float(np.linalg.norm(normal))
    upright = abs(float(normal[2])) / area_mm2
    return RanoPlane(
        slice_axis=axis,
        tilt_degrees=round(float(np.degrees(np.arccos(min(upright, 1.0)))), 1),
        pixel_spacing_mm=(float(np.linalg.norm(first)), float(np.linalg.norm(second))),
        slice_spacing_mm=grid.voxel_mm3 / area_mm2,
    )


def _broken(plane: RanoPlane | None) -> RanoRule | None:
    """The rule that keeps a scan from being measured at all."""
    if plane is None:
        return RanoRule.VOLUME
    widest = max(plane.slice_spacing_mm, *plane.pixel_spacing_mm)
    return RanoRule.SPACING if widest > LARGEST_SPACING_MM + TOLERANCE_MM else None


def _failed(lesion: Lesion) -> RanoRule | None:
    """The first rule that a lesion does not keep."""
    if (lesion.longest_diameter_mm or 0.0) < LONGEST_MM - TOLERANCE_MM:
        return RanoRule.LONGEST
    if (lesion.perpendicular_diameter_mm or 0.0) < PERPENDICULAR_MM - TOLERANCE_MM:
        return RanoRule.PERPENDICULAR
    if (lesion.slices_spanned or 0) < FEWEST_SLICES:
        return RanoRule.SLICES
    return None
