"""How jobs, lesions and models are put into words and table cells."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from metseg.card import MeasuredPoint, ModelCard, Score
from metseg.errors import MetsegError
from metseg.jobs import ENSEMBLE, Job, ModelVersion, Progress, Stage
from metseg.report import Lesion, RanoBm, Report
from metseg.scan import ScanKind
from metseg_client import ClientError
from metseg_ui.planes import Plane
from metseg_ui.study import Study

BANNER = "Research use only – not a medical device, not for diagnosis"
NO_MILLIMETRES = (
    "Sizes are in pixels, not millimetres: this picture came without the size of its pixels. "
    "Send it again with the size to get millimetres."
)
NO_SIDES = "Shown as it came; a picture does not say which side is left."
TABLE_NOTE = (
    "Tick a row to jump to it. Size: longest diameter × its perpendicular. p: mean probability. "
    "RANO-BM sum: longest diameters of the targets, whose number stands behind it. "
    "Confidence: share of true lesions among those like it in the model's validation cases."
)
CENTRE_NOTE = "Centre in mm from the scanner's origin to Right/Left, Anterior/Posterior, Superior/Inferior."
SIDES = {
    Plane.AXIAL: "Radiological view: the patient's left (L) is on the right of the image.",
    Plane.CORONAL: "Radiological view: the patient's left (L) is on the right of the image.",
    Plane.SAGITTAL: "The front (A) is on the left of the image; slices run from the patient's left to the right.",
}

STAGES = {
    Stage.READ: "Read the scan",
    Stage.PREPARE: "Prepare slices",
    Stage.PREDICT: "Find lesions",
    Stage.FINISH: "Measure and write",
}

NETWORKS = {
    "attention_unet": "Attention U-Net",
    "unet_plus_plus": "U-Net++",
    "inception_v3_segmenter": "InceptionV3 segmenter",
    ENSEMBLE: "Ensemble of all models",
}

ARTEFACTS = {
    "mask.nii.gz": "Mask (NIfTI)",
    "lesions.nii.gz": "Numbered lesions (NIfTI)",
    "probability.nii.gz": "Probability (NIfTI)",
    "scan.nii.gz": "Scan (NIfTI)",
    "mask.png": "Mask (PNG)",
    "probability.png": "Probability (PNG)",
    "scan.png": "Scan (PNG)",
    "overlay.png": "Overview picture (PNG)",
    "lesions.csv": "Lesion table (CSV)",
    "follow_up.csv": "Changes since earlier scans (CSV)",
    "previous_scan.nii.gz": "Earlier scan: image (NIfTI)",
    "previous_lesions.nii.gz": "Earlier scan: numbered lesions (NIfTI)",
    "previous_report.json": "Earlier scan: report (JSON)",
    "report.json": "Report (JSON)",
    "report.pdf": "Report (PDF)",
    "seg.dcm": "Segmentation (DICOM SEG)",
    "sr.dcm": "Measurements (DICOM SR)",
    "rtstruct.dcm": "Outlines (DICOM RTSTRUCT)",
}


def lesion_table(report: Report, study: Study) -> dict[str, list[Any]]:
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
    columns["Centre"] = [centre_text(lesion) for lesion in lesions]
    if any(lesion.head_surface_mm is not None for lesion in lesions):
        columns["Depth mm"] = [_rounded(lesion.head_surface_mm, 0) for lesion in lesions]
    if not study.is_picture:
        columns["Slice"] = [_slice_text(study, lesion) for lesion in lesions]
        columns["Slices"] = [lesion.slices_spanned for lesion in lesions]
    columns["p"] = [_rounded(lesion.mean_probability, 2) for lesion in lesions]
    columns["Highest p"] = [_rounded(lesion.max_probability, 2) for lesion in lesions]
    return columns


def unit(study: Study) -> str:
    """The unit of lengths: mm, or px where nobody knows the millimetres."""
    return "mm" if study.has_spacing else "px"


def diameters(lesion: Lesion) -> str:
    """Longest diameter × its perpendicular, in mm where known, else in pixels."""
    pair = (lesion.longest_diameter_mm, lesion.perpendicular_diameter_mm)
    if pair[0] is None:
        pair = (lesion.longest_diameter_px, lesion.perpendicular_diameter_px)
    return " × ".join("–" if value is None else f"{value:.1f}" for value in pair)


def centre_text(lesion: Lesion) -> str:
    """The centroid: with the side's letter and mm, e.g. `R 12 · A 3 · S 40`; in a picture, column and row."""
    if lesion.centroid_ras_mm is not None:
        signs = ("RL", "AP", "SI")
        parts = zip(lesion.centroid_ras_mm, signs, strict=True)
        return " · ".join(f"{letters[mm < 0]} {abs(mm):.0f}" for mm, letters in parts)
    if lesion.centroid_px is not None:
        return f"column {lesion.centroid_px[0]:.0f}, row {lesion.centroid_px[1]:.0f}"
    return "–"


def slice_alt(study: Study, plane: Plane, index: int, labels: list[int]) -> str:
    """A slice in words, for those who cannot see it."""
    if len(labels) > 1:
        found = f"lesions {', '.join(map(str, labels[:-1]))} and {labels[-1]}"
    else:
        found = f"lesion {labels[0]}" if labels else "no lesion"
    place = "Picture" if study.is_picture else f"{plane.capitalize()} slice {index + 1} of {study.count(plane)}"
    return f"{place} with {found}"


def totals(report: Report) -> dict[str, str]:
    """The figures above the viewer."""
    figures = {"Lesions": str(report.lesion_count)}
    if report.total_volume_mm3 is not None:
        figures["Total volume"] = f"{report.total_volume_mm3 / 1000:.2f} mL"
    elif report.source.kind == ScanKind.PICTURE:
        figures["Total area"] = _total_area(report.lesions)
    longest = max(report.lesions, key=_longest, default=None)
    if longest is not None and _longest(longest):
        named = "mm" if longest.longest_diameter_mm is not None else "px"
        figures["Longest diameter"] = f"{_longest(longest):.1f} {named}"
    rano = report.rano_bm
    if rano is not None and rano.applies:
        figures["RANO-BM sum"] = f"{rano.sum_of_longest_diameters_mm:.1f} mm ({len(rano.targets)})"
    figures["Threshold"] = f"{report.threshold:.2f}"
    return figures


def progress_text(progress: Progress | None) -> str:
    """What the job is doing, in words."""
    if progress is None:
        return "Waiting for a free worker"
    earlier = "Earlier scan: " if progress.scan < progress.scans else ""
    text = earlier + STAGES[progress.stage]
    if progress.stage is Stage.PREDICT and progress.slices_total:
        text += f" – slice {progress.slices_done} of {progress.slices_total}"
    if progress.attempt > 1:
        text += f" (attempt {progress.attempt})"
    return text


def elapsed_text(job: Job, now: datetime) -> str:
    """How long the job has been going since it was sent."""
    seconds = max(int((now - job.created_at).total_seconds()), 0)
    return f"{seconds // 60} min {seconds % 60:02d} s" if seconds >= 60 else f"{seconds} s"


def score_text(score: Score) -> str:
    """A score with its confidence interval, e.g. `0.57 (0.52–0.61)`."""
    if score.low is None or score.high is None:
        return f"{score.value:.2f}"
    return f"{score.value:.2f} ({score.low:.2f}–{score.high:.2f})"


def point_text(point: MeasuredPoint) -> str:
    """An operating point with what it finds, e.g. `0.30 screening – finds 90 % of lesions, 1.5 false a scan`."""
    found = "" if point.sensitivity is None else f"finds {point.sensitivity:.0%} of lesions, ".replace("%", " %")
    false = f"{point.false_lesions_per_scan:.1f} false a scan"
    return f"{point.threshold:.2f} {point.name} – {found}{false} ({point.scans} {point.measured_on})"


def model_text(card: ModelCard) -> str:
    """A model's name for a list."""
    return f"{NETWORKS.get(card.name, card.name.replace('_', ' '))} · version {card.version}"


def members_text(members: Sequence[ModelVersion]) -> str:
    """The members of an ensemble, e.g. `U-Net++ (version 1, 9f86d081884c)`, parted by commas."""
    return ", ".join(
        f"{NETWORKS.get(one.name, one.name)} (version {one.version}, {one.digest[:12]})" for one in members
    )


def problem_text(error: ClientError | MetsegError) -> str:
    """An error as a sentence with its stable code, as Markdown that shows every character as it is."""
    return f"{plain(sentence(str(error)))} (`{error.code}`)"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    text = text.strip() or "something went wrong"
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def plain(text: str) -> str:
    """Text whose characters mean nothing to Markdown."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]()<>#+-!|~$:^" else letter for letter in text)


def _verdict_text(rano: RanoBm, lesion: Lesion) -> str:
    verdict = next((one for one in rano.lesions if one.label == lesion.label), None)
    if verdict is None or not verdict.measurable:
        return "–"
    return "target" if verdict.target else "measurable"


def _slice_text(study: Study, lesion: Lesion) -> str:
    plane, index = study.measured_at(lesion)
    return f"{plane} {index + 1}"


def _rounded(value: float | None, digits: int) -> float | None:
    """What a screen reader is to read; the full figures are in the downloads."""
    return None if value is None else round(value, digits)


def _longest(lesion: Lesion) -> float:
    return lesion.longest_diameter_mm or lesion.longest_diameter_px or 0.0


def _total_area(lesions: list[Lesion]) -> str:
    areas_mm2 = [lesion.area_mm2 for lesion in lesions]
    if areas_mm2 and None not in areas_mm2:
        return f"{sum(area for area in areas_mm2 if area is not None):.0f} mm²"
    return f"{sum(lesion.area_px or 0 for lesion in lesions)} px"
