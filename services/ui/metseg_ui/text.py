"""How jobs, lesions and models are put into words and table cells."""

from collections.abc import Sequence
from datetime import datetime

from metseg.errors import MetsegError
from metseg.imaging.scan import ScanKind
from metseg.schemas.job import ENSEMBLE, Job, ModelVersion, Stage, WaitsFor
from metseg.schemas.model_card import MeasuredPoint, ModelCard, Score
from metseg.schemas.report import Lesion, RanoBm, Report
from metseg_client import ClientError

BANNER = "Research use only – not a medical device, not for diagnosis"

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
        figures["RANO-BM sum"] = _sum_text(rano)
    figures["Threshold"] = f"{report.threshold:.2f}"
    return figures


def waiting_text(job: Job) -> str:
    """What a job that makes no headway waits for, in words."""
    if job.waits_for is WaitsFor.MODEL_SERVER:
        return "Waiting for the model server. Nothing is lost: the job goes on by itself once it is back."
    return "Waiting for a free worker"


def progress_text(job: Job) -> str:
    """What the job is doing, in words."""
    progress = job.progress
    if progress is None or job.waits_for is not None:
        return waiting_text(job)
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


def _sum_text(rano: RanoBm) -> str:
    """The sum over the targets with their number; without one nothing was measured, so there is no figure."""
    if not rano.targets:
        return "none measurable"
    return f"{rano.sum_of_longest_diameters_mm:.1f} mm ({len(rano.targets)})"


def _longest(lesion: Lesion) -> float:
    return lesion.longest_diameter_mm or lesion.longest_diameter_px or 0.0


def _total_area(lesions: list[Lesion]) -> str:
    areas_mm2 = [lesion.area_mm2 for lesion in lesions]
    if areas_mm2 and None not in areas_mm2:
        return f"{sum(area for area in areas_mm2 if area is not None):.0f} mm²"
    return f"{sum(lesion.area_px or 0 for lesion in lesions)} px"
