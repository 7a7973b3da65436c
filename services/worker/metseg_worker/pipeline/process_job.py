"""Makes the files of a result out of a job's stored input; the same job gives the same bytes.

Nothing here knows of attempts, queues or the end of a job, so that a result can be made again and compared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from metseg.errors import CardError, InputError
from metseg.imaging.scan import Scan
from metseg.inference.segment import Network, OnProgress, Segmentation, segment_by_mean
from metseg.jobs.previous_errors import NotVolumeError
from metseg.jobs.store import JobStore
from metseg.lesions.matching import Measured
from metseg.models.ensemble import ensemble_card
from metseg.models.library import ModelLibrary
from metseg.schemas.job import JobRecord, ModelRef, ModelVersion, Stage
from metseg.schemas.model_card import ModelCard
from metseg.schemas.report import Report
from metseg.serving.client import ServingClient
from metseg.storage.checksums import download_same
from metseg_worker.anatomy.neck import anatomy_of
from metseg_worker.outputs.dicom.sandboxed import Finding, object_writer
from metseg_worker.outputs.report import AskedModel, build_report
from metseg_worker.outputs.write import write_result
from metseg_worker.pipeline.follow_up import Earlier, fetch_earlier, followed
from metseg_worker.pipeline.predict import Patience, predictor
from metseg_worker.pipeline.prior import as_job_of_prior, write_prior
from metseg_worker.readers.open import ReadOptions
from metseg_worker.readers.sandboxed import read_in_child
from metseg_worker.retry import patiently


@dataclass(frozen=True)
class Dependencies:
    """What a result is made with.

    Attributes:
        store: Where the job is.
        models: The cards.
        serving: The model server.
        device: What that is said to run the networks on.
        patience: How long it is waited for.
    """

    store: JobStore
    models: ModelLibrary
    serving: ServingClient
    device: str
    patience: Patience


def make_files(
    dependencies: Dependencies,
    record: JobRecord,
    folder: Path,
    *,
    check: Callable[[], None],
    on_progress: OnProgress,
    on_found: Callable[[Scan, Segmentation], None] | None = None,
) -> list[tuple[Path, str]]:
    """Segment the job's input and write every artefact.

    An uploaded prior goes first, so that never all that was found in both lies in memory.

    Args:
        dependencies: The outside systems.
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
    members = [card_of(dependencies.models, member) for member in record.model.members]
    card = ensemble_card(members) if members else card_of(dependencies.models, record.model)
    previous, results, objects = folder / "previous", folder / "results", folder / "objects"
    for made in (previous, results, objects):
        made.mkdir()
    work, along = _Work(dependencies, card, members, check, on_progress), list[tuple[Path, str]]()
    if record.previous_inputs:
        came_along, along = _measure_along(work, as_job_of_prior(record), folder / "along", results)
        earlier = [came_along]
    else:
        earlier = fetch_earlier(dependencies.store, record, previous, check=check)
    scan, handover = work.read(record, folder)
    with object_writer(scan, handover, objects) as writer:
        found, report = work.find(record, scan)
        if on_found is not None:
            on_found(scan, found)
        report = followed(report, scan, found, earlier, previous, check=check)
        finding = Finding(scan, found, report, card.knows_metastases)
        return [*write_result(finding, card, writer, results, check=check), *along]


@dataclass(frozen=True)
class _Work:
    """What is done to each scan of a job; other attributes are those of `make_files`.

    Attributes:
        card: Of the job's model.
        members: Of the members, where that is the ensemble; else none.
    """

    dependencies: Dependencies
    card: ModelCard
    members: list[ModelCard]
    check: Callable[[], None]
    on_progress: OnProgress

    def read(self, record: JobRecord, folder: Path) -> tuple[Scan, Path]:
        """The scan of the job's input, and the folder where its images lie."""
        self.on_progress(Stage.READ, 0, 0)
        source, handover = folder / "input", folder / "handover"
        for made in (source, handover):
            made.mkdir(parents=True)
        _download(self.dependencies.store, record, source, self.check)
        asked = ReadOptions(record.request.spacing_mm, record.request.series_uid)
        return read_in_child(source, handover, asked, check=self.check), handover

    def find(self, record: JobRecord, scan: Scan) -> tuple[Segmentation, Report]:
        """What is found in a scan, and the report on it alone."""
        asked, threshold = self._networks(record.model), record.request.threshold
        anatomy = anatomy_of(scan)
        excluded = None if anatomy is None else anatomy.below_brain
        found = segment_by_mean(
            scan, self.card, asked, threshold=threshold, excluded=excluded, on_progress=self.on_progress
        )
        model = AskedModel(self.card, self.dependencies.device, self.members)
        return found, build_report(record, model, scan, found, anatomy)

    def _networks(self, model: ModelRef) -> list[Network]:
        """One network, or those of all members of the ensemble."""
        asked = zip(model.members or [model], self.members or [self.card], strict=True)
        serving, patience = self.dependencies.serving, self.dependencies.patience
        return [Network(card, predictor(serving, one, self.check, patience)) for one, card in asked]


def _measure_along(
    work: _Work, record: JobRecord, folder: Path, results: Path
) -> tuple[Earlier, list[tuple[Path, str]]]:
    """Measure an earlier scan by the record of its own job; with the files that are kept of it.

    Raises:
        InputError: it cannot be segmented; marked as being about the earlier scan.
        NotVolumeError: it is a single picture.
    """
    try:
        scan, _ = work.read(record, folder)
        if scan.is_picture:
            raise NotVolumeError("Expected an earlier scan that is a volume, but it is a single picture.")
        found, report = work.find(record, scan)
    except InputError as exc:
        exc.of_previous = True
        raise
    earlier = Earlier(report, scan.volume, Measured(report.lesions, found.labels), came_along=True)
    return earlier, write_prior(scan, found, report, results)


def card_of(models: ModelLibrary, model: ModelVersion) -> ModelCard:
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
