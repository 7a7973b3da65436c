"""Puts the figures of a report into the words and cells of `report.pdf`."""

from collections.abc import Sequence
from typing import Final

from metseg.lesions.centre_text import centre_text
from metseg.schemas.job import ModelVersion
from metseg.schemas.model_card import LesionConfidence, ModelCard
from metseg.schemas.report import InputDigest, Lesion, MemberProvenance, Report
from metseg.storage.checksums import sha256_of_all
from metseg_worker.outputs.report import MOST_INPUTS

FIGURES: Final = ("No.", "Size", "Diameters", "Slices", "Centre", "Mean p", "RANO-BM")
CONFIDENCE: Final = "Confid."
CONFIDENCE_TOLD: Final = (
    "Confid.: share of true lesions among those like it that the model marked in its validation cases; "
    "- where it is not known."
)
SPREAD: Final = "Spread"
SPREAD_TOLD: Final = "Spread: how far the mean probabilities that the networks give a lesion lie apart."
PLACES: Final = ("No.", "Side", "From the mid-sagittal plane", "From the surface of the head")
MOST_SCORES: Final = 12


def summary_lines(report: Report) -> list[str]:
    """What was found, in three sentences."""
    count = report.lesion_count
    found = "No lesion" if count == 0 else f"{count} lesion{'s' if count > 1 else ''}"
    if report.total_volume_mm3:
        found += f", {report.total_volume_mm3 / 1000:.2f} ml in all"
    return [
        f"{found}.",
        _rano_sentence(report),
        f"Model {report.model.name}, version {report.model.version}{_members(report)}, threshold "
        f"{report.threshold:g}. "
        f"Scan accepted {report.created_at:%Y-%m-%d %H:%M} UTC.",
    ]


def figure_names(report: Report) -> tuple[str, ...]:
    """The heading of the table of lesions: of an ensemble the spread, of others the confidence."""
    return (*FIGURES, SPREAD if report.model.members else CONFIDENCE)


def figures_of(report: Report, lesion: Lesion) -> tuple[str, ...]:
    """The cells of a lesion, in the order of `figure_names`."""
    return (
        str(lesion.label),
        _size(lesion),
        _diameters(lesion),
        str(lesion.slices_spanned or "-"),
        centre_text(lesion) or "-",
        f"{lesion.mean_probability:.2f}",
        _verdict(report, lesion),
        _told(lesion.disagreement if report.model.members else lesion.confidence),
    )


def place_cells(lesion: Lesion) -> tuple[str, ...]:
    """Where a lesion lies in the head, in the order of `PLACES`."""
    aside = "-" if lesion.right_of_midplane_mm is None else f"{abs(lesion.right_of_midplane_mm):.0f} mm"
    surface = "-" if lesion.head_surface_mm is None else f"{lesion.head_surface_mm:.0f} mm"
    return str(lesion.label), lesion.hemisphere or "-", aside, surface


def rano_lines(report: Report) -> list[str]:
    """How RANO-BM was applied: the plane, every rule by name, and what was not judged."""
    rano = report.rano_bm
    if rano is None:
        return ["Not looked at."]
    lines = [f"By {rano.reference}. {_rano_sentence(report)}"]
    if rano.plane is not None:
        first, second = rano.plane.pixel_spacing_mm
        lines.append(
            f"Measured in the slices nearest to axial, tilted by {rano.plane.tilt_degrees:.0f} degrees: pixels of "
            f"{first:.2f} × {second:.2f} mm, slices {rano.plane.slice_spacing_mm:.2f} mm apart."
        )
    lines += [f"{rule.value}: {sentence}" for rule, sentence in rano.rules.items()]
    if rano.not_judged:
        lines.append(f"Not judged: {'; '.join(rano.not_judged)}.")
    return lines


def training_lines(card: ModelCard) -> list[str]:
    """What the model has learnt from."""
    sources = [f"{data.name} ({data.cases} cases, {data.disease}, {data.licence})" for data in card.training_data]
    return [card.disease_notice, f"Training data: {'; '.join(sources) or 'not stated'}."]


def score_lines(card: ModelCard) -> list[str]:
    """The card's first scores."""
    lines = []
    for score in card.scores[:MOST_SCORES]:
        interval = "" if score.low is None or score.high is None else f" ({score.low:.2f} to {score.high:.2f})"
        lines.append(f"{score.metric}: {score.value:.2f}{interval}, {score.cases} cases of {score.dataset}")
    return [*(lines or ["None is stated."]), *(_confidence_line(one) for one in card.confidence)]


def source_lines(report: Report) -> list[str]:
    """Which input, model, software and device made the result."""
    source = report.source
    spacing = "pixels of unknown size"
    if source.spacing_mm is not None:
        spacing = " × ".join(f"{mm:.3f}" for mm in source.spacing_mm) + " mm"
    lines = [
        f"Job {report.job_id}",
        f"Scan: {source.kind}, {' × '.join(map(str, source.shape))} voxels, {spacing}, "
        f"stored as {''.join(source.orientation)}",
        f"Model digest {report.model.digest}",
    ]
    if report.provenance is not None:
        lines += _input_lines("Input", report.provenance.inputs)
        lines += _input_lines("Input of the earlier scan", report.provenance.previous_inputs or [])
        lines.append(f"Weights {report.provenance.weights_sha256}")
        lines.append(f"Preprocessing {report.provenance.preprocessing.model_dump_json(exclude_none=True)}")
        lines += _member_lines(report.model.members, report.provenance.members or [])
        lines.append(f"Model server's device, as stated by its operator: {report.provenance.device}")
        lines.append(f"Lesions measured on {report.provenance.processor}")
    return [*lines, "Software: " + ", ".join(f"{name} {version}" for name, version in report.software.items())]


def _input_lines(what: str, inputs: Sequence[InputDigest]) -> list[str]:
    """A line a file; of a series, whose files nobody compares on paper, one for all."""
    if len(inputs) <= MOST_INPUTS:
        return [f"{what} {one.sha256} ({one.size_bytes} bytes)" for one in inputs]
    together = sha256_of_all(one.sha256 for one in inputs)
    return [f"{what}: {len(inputs)} files, which report.json names; SHA-256 of their SHA-256 in a row {together}"]


def _members(report: Report) -> str:
    """The members of the ensemble, in brackets; nothing for any other model."""
    named = ", ".join(f"{one.name} {one.version}" for one in report.model.members)
    return f" (mean of {named})" if named else ""


def _member_lines(members: Sequence[ModelVersion], made: Sequence[MemberProvenance]) -> list[str]:
    return [
        f"Member {one.name}, version {one.version}: digest {one.digest}, weights {its.weights_sha256}, "
        f"preprocessing {its.preprocessing.model_dump_json(exclude_none=True)}"
        for one, its in zip(members, made, strict=True)
    ]


def _confidence_line(one: LesionConfidence) -> str:
    interval = "" if one.brier_low is None else f" ({one.brier_low:.2f} to {one.brier_high:.2f})"
    return (
        f"Confidence of lesions at threshold {one.threshold:g}: Brier score {one.brier:.2f}{interval}, of the "
        f"mere share of true ones {one.brier_of_share:.2f}; {one.lesions} lesions of {one.patients} patients who "
        "were left out one by one"
    )


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _rano_sentence(report: Report) -> str:
    rano = report.rano_bm
    if rano is None:
        return ""
    if not rano.applies:
        broken = rano.decided_by
        return f"Nothing is measured as RANO-BM, for a rule is not kept: {rano.rules[broken]} ({broken.value})"
    if not rano.targets:
        return "RANO-BM: none measurable."
    targets = f"{len(rano.targets)} target lesion{'s' if len(rano.targets) > 1 else ''}"
    longest, volume = rano.sum_of_longest_diameters_mm or 0.0, rano.target_volume_mm3 or 0.0
    return (
        f"RANO-BM: {rano.measurable_count} measurable, {targets}, sum of longest diameters {longest:.1f} mm, "
        f"volume of the targets {volume / 1000:.2f} ml."
    )


def _size(lesion: Lesion) -> str:
    if lesion.volume_mm3 is not None:
        return f"{lesion.volume_mm3:.0f} mm³"
    return f"{lesion.area_px} px" if lesion.area_mm2 is None else f"{lesion.area_mm2:.0f} mm²"


def _diameters(lesion: Lesion) -> str:
    if lesion.longest_diameter_mm is not None:
        return f"{lesion.longest_diameter_mm:.1f} × {lesion.perpendicular_diameter_mm:.1f} mm"
    return f"{lesion.longest_diameter_px:.1f} × {lesion.perpendicular_diameter_px:.1f} px"


def _verdict(report: Report, lesion: Lesion) -> str:
    for verdict in [] if report.rano_bm is None else report.rano_bm.lesions:
        if verdict.label == lesion.label:
            if verdict.target:
                return "target"
            return "measurable" if verdict.measurable else f"no: {verdict.decided_by.value}"
    return "-"
