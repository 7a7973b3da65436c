"""Words of the lesion table and of the slices."""

from typing import Any, Protocol

from metseg.lesions.centre_text import centre_text
from metseg.schemas.report import Lesion, RanoBm, Report
from metseg_ui.viewer.planes import Plane

NO_MILLIMETRES = (
    "Sizes are in pixels, not millimetres: this picture came without the size of its pixels. "
    "Send it again with the size to get millimetres."
)


NO_SIDES = "Shown as stored; the file does not say which side is left."


TABLE_NOTE = (
    "Click a row to go to it. Size: longest diameter × its perpendicular. p: mean probability. "
    "RANO-BM sum: longest diameters of the targets, whose number stands behind it. "
    "Confidence: share of true lesions among those like it in the model's validation cases."
)


SIDES = (
    "Radiological view: in axial and coronal slices the patient's left (L) is on the right of the image. In "
    "sagittal slices, which run from the patient's left to the right, the front (A) is on the left."
)


class Shown(Protocol):
    """What the table has to know of a study."""

    @property
    def is_picture(self) -> bool:
        """Whether it is a lone slice."""

    @property
    def has_spacing(self) -> bool:
        """Whether lengths in mm are known."""

    def measured_at(self, lesion: Lesion) -> tuple[Plane, int]:
        """The plane and slice in which the lesion's diameters were measured."""


def lesion_table(report: Report, study: Shown) -> dict[str, list[Any]]:
    """Columns of the lesion table, one entry a lesion, in the units that are known; what decides comes first."""
    lesions = report.lesions
    columns: dict[str, list[Any]] = {"No.": [lesion.label for lesion in lesions]}
    if not study.is_picture:
        columns["mm³"] = [_rounded(lesion.volume_mm3, 1) for lesion in lesions]
    elif study.has_spacing:
        columns["mm²"] = [_rounded(lesion.area_mm2, 1) for lesion in lesions]
    else:
        columns["px²"] = [lesion.area_px for lesion in lesions]
    columns[f"Size {unit(study)}"] = [diameters(lesion) for lesion in lesions]
    if report.rano_bm is not None and report.rano_bm.applies:
        columns["RANO-BM"] = [_verdict_text(report.rano_bm, lesion) for lesion in lesions]
    if any(lesion.confidence is not None for lesion in lesions):
        columns["Confidence"] = [_rounded(lesion.confidence, 2) for lesion in lesions]
    if report.model.members:
        columns["Disagreement"] = [_rounded(lesion.disagreement, 2) for lesion in lesions]
    if any(lesion.hemisphere for lesion in lesions):
        columns["Side"] = [lesion.hemisphere or "–" for lesion in lesions]
    columns["Centre" if study.is_picture else "Centre RAS mm"] = [centre_text(lesion) or "–" for lesion in lesions]
    if any(lesion.head_surface_mm is not None for lesion in lesions):
        columns["Depth mm"] = [_rounded(lesion.head_surface_mm, 0) for lesion in lesions]
    if not study.is_picture:
        columns["Slice"] = [_slice_text(study, lesion) for lesion in lesions]
        columns["Slices"] = [lesion.slices_spanned for lesion in lesions]
    columns["p"] = [_rounded(lesion.mean_probability, 2) for lesion in lesions]
    columns["Highest p"] = [_rounded(lesion.max_probability, 2) for lesion in lesions]
    return columns


def unit(study: Shown) -> str:
    """The unit of lengths: mm, or px where nobody knows the millimetres."""
    return "mm" if study.has_spacing else "px"


def _slice_text(study: Shown, lesion: Lesion) -> str:
    plane, index = study.measured_at(lesion)
    return f"{plane} {index + 1}"


def diameters(lesion: Lesion) -> str:
    """Longest diameter × its perpendicular, in mm where known, else in pixels."""
    pair = (lesion.longest_diameter_mm, lesion.perpendicular_diameter_mm)
    if pair[0] is None:
        pair = (lesion.longest_diameter_px, lesion.perpendicular_diameter_px)
    return " × ".join("–" if value is None else f"{value:.1f}" for value in pair)


def _verdict_text(rano: RanoBm, lesion: Lesion) -> str:
    verdict = next((one for one in rano.lesions if one.label == lesion.label), None)
    if verdict is None or not verdict.measurable:
        return "–"
    return "target" if verdict.target else "measurable"


def _rounded(value: float | None, digits: int) -> float | None:
    """What a screen reader is to read; the full figures are in the downloads."""
    return None if value is None else round(value, digits)
