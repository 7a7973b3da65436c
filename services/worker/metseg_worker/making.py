"""Makes the files of a result out of a job's stored input; the same job gives the same bytes.

Nothing here knows of attempts, queues or the end of a job, so that a result can be made again and compared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from metseg.card import ModelCard
from metseg.digests import download_same
from metseg.errors import CardError
from metseg.jobs import JobRecord, ModelRef, Stage
from metseg.jobstore import JobStore
from metseg.models import ModelLibrary
from metseg.scan import Scan
from metseg.segment import OnProgress, Segmentation, segment
from metseg.serving import ServingClient
from metseg_worker.asking import predictor
from metseg_worker.dicom_objects import Finding, object_writer
from metseg_worker.finishing import write_result
from metseg_worker.following import fetch_earlier, followed
from metseg_worker.opening import Asked
from metseg_worker.patience import patiently
from metseg_worker.reading import read_in_child
from metseg_worker.report import build_report


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
    with object_writer(scan, handover, results) as writer:
        predict = predictor(means.serving, record.model, check)
        found = segment(scan, card, predict, threshold=record.request.threshold, on_progress=on_progress)
        if on_found is not None:
            on_found(scan, found)
        report = build_report(record, card, scan, found, device=means.device)
        report = followed(report, scan, found, earlier, previous, check=check)
        finding = Finding(scan, found, report, card.knows_metastases)
        return write_result(finding, card, writer, results, check=check)


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


def _download(store: JobStore, record: JobRecord, folder: Path, check: Callable[[], None]) -> None:
    """Fetch the input, named by number in its order, and make sure that it is what was accepted."""
    for number, given in enumerate(record.inputs):
        check()
        path, otherwise = folder / f"{number:04d}", "The stored input is not the file that was accepted."
        fetch = partial(download_same, store.blobs, given.key, path, given.sha256, otherwise=otherwise)
        patiently(fetch, check, job_id=record.id)
