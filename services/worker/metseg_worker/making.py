"""Makes the files of a result out of a job's stored input; the same job gives the same bytes.

Nothing here knows of attempts, queues or the end of a job, so that a result can be made again and compared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from metseg.card import ModelCard
from metseg.digests import download_same
from metseg.errors import CardError, InputError
from metseg.jobs import JobRecord, ModelRef, Stage
from metseg.jobstore import JobStore
from metseg.models import ModelLibrary
from metseg.report import Report
from metseg.scan import Scan
from metseg.segment import OnProgress, Segmentation, segment
from metseg.serving import ServingClient
from metseg_worker.artefacts import CSV_TYPE, JSON_TYPE, PDF_TYPE, PNG_TYPE, write_images, write_table
from metseg_worker.asking import predictor
from metseg_worker.dicom_objects import Finding, write_objects
from metseg_worker.follow_up_table import write_follow_up
from metseg_worker.following import fetch_earlier, followed
from metseg_worker.opening import Asked
from metseg_worker.overlay import draw_largest, draw_overlay
from metseg_worker.pdf import LARGEST_SHOWN, Pictures, write_pdf
from metseg_worker.reading import read_in_child
from metseg_worker.report import build_report, note_of

NO_OBJECTS: Final = (
    "The headers of the images could not be made into DICOM objects, so there are none of the result."
)


@dataclass(frozen=True)
class Means:
    """What a result is made with; `device` is what the network runs on, in words."""

    store: JobStore
    models: ModelLibrary
    serving: ServingClient
    device: str


def make_files(
    means: Means,
    record: JobRecord,
    folder: Path,
    *,
    check: Callable[[], None],
    on_progress: OnProgress,
    on_found: Callable[[Scan, Segmentation], None] | None = None,
) -> list[tuple[Path, str]]:
    """Segment the job's input and write every artefact.

    Args:
        means: The outside systems.
        record: The job.
        folder: Empty; takes the input, the hand-over and the results.
        check: Called often; what it raises ends the work.
        on_progress: As for `segment`, and told of the reading before.
        on_found: Told what was found in which scan; None tells nobody.

    Returns:
        The artefacts with their media types.

    Raises:
        MetsegError: the narrowest class that fits.
    """
    on_progress(Stage.READ, 0, 0)
    card = card_of(means.models, record.model)
    source, handover, previous, results = (folder / name for name in ("input", "handover", "previous", "results"))
    for made in (source, handover, previous, results):
        made.mkdir()
    earlier = fetch_earlier(means.store, record, previous, check=check)
    _download(means.store, record, source, check)
    asked = Asked(record.request.spacing_mm, record.request.series_uid)
    scan = read_in_child(source, handover, asked, check=check)
    predict = predictor(means.serving, record.model, check)
    found = segment(scan, card, predict, threshold=record.request.threshold, on_progress=on_progress)
    if on_found is not None:
        on_found(scan, found)
    report = build_report(record, card, scan, found, device=means.device)
    report = followed(report, scan, found, earlier, previous, check=check)
    finding = Finding(scan, found, report, card.knows_metastases)
    report, objects = _write_objects(finding, handover, results, check)
    files = write_images(scan, found, results, note=note_of(report))
    draw_overlay(scan, found, report, results / "overlay.png")
    shown = Pictures(draw_largest(scan, found, LARGEST_SHOWN), results / "overlay.png")
    write_pdf(report, card, shown, results / "report.pdf")
    write_table(report, results / "lesions.csv")
    (results / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    files += [*objects, *write_follow_up(report, results)]
    files += [(results / "overlay.png", PNG_TYPE), (results / "lesions.csv", CSV_TYPE)]
    return [*files, (results / "report.json", JSON_TYPE), (results / "report.pdf", PDF_TYPE)]


def card_of(models: ModelLibrary, model: ModelRef) -> ModelCard:
    """The card of the very version that a job was accepted for.

    Raises:
        UnknownModelError: it is not here any more.
        CardError: it is damaged, or of another model by now.
    """
    card = models.card(model.name, model.version)
    if card.digest != model.digest:
        raise CardError(f"Version {card.version} of model {card.name} is not the one this job was accepted for.")
    return card


def _write_objects(
    finding: Finding, handover: Path, results: Path, check: Callable[[], None]
) -> tuple[Report, list[tuple[Path, str]]]:
    """The objects, and the report with a warning where they cannot be made: a mask is worth having alone."""
    try:
        return finding.report, write_objects(finding, handover, results, check=check)
    except InputError:
        return finding.report.model_copy(update={"warnings": [*finding.report.warnings, NO_OBJECTS]}), []


def _download(store: JobStore, record: JobRecord, folder: Path, check: Callable[[], None]) -> None:
    """Fetch the input, named by number in its order, and make sure that it is what was accepted."""
    for number, given in enumerate(record.inputs):
        check()
        path, otherwise = folder / f"{number:04d}", "The stored input is not the file that was accepted."
        download_same(store.blobs, given.key, path, given.sha256, otherwise=otherwise)
