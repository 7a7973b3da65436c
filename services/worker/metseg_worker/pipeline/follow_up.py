"""Compares a scan with those of the earlier jobs that its sender named."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metseg.errors import BlobNotFoundError
from metseg.imaging.limits import DEFAULT_LIMITS
from metseg.imaging.nifti import read_nifti
from metseg.imaging.scan import Scan
from metseg.imaging.volume import Volume
from metseg.inference.segment import Segmentation
from metseg.jobs.previous import LABELS, comparable, gone
from metseg.jobs.previous_errors import NotVolumeError
from metseg.jobs.store import JobStore
from metseg.lesions.matching import KINDS, Group, Measured, changes_of, match
from metseg.response.assessment import NOT_JUDGED, RULES, Visit, judge
from metseg.response.rano_bm import REFERENCE
from metseg.schemas.follow_up import Comparison, FollowUp
from metseg.schemas.job import JobRecord, JobResult
from metseg.schemas.report import Report
from metseg.storage.checksums import download_same
from metseg_worker.registration.align import DOUBTFUL_CORRELATION, align
from metseg_worker.retry import patiently

SCAN: Final = "scan.nii.gz"
REPORT: Final = "report.json"

Motion = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Earlier:
    """A prior, as its job left it; or an uploaded prior, as it was just measured."""

    report: Report
    scan: Volume
    measured: Measured
    came_along: bool = False


def fetch_earlier(store: JobStore, record: JobRecord, folder: Path, *, check: Callable[[], None]) -> list[Earlier]:
    """Take the results of the earlier jobs that a job names, in its order.

    Args:
        store: Where they lie.
        record: The job.
        folder: Where they are put.
        check: Called before each file, and while the store is away; what it raises ends the work.

    Raises:
        FollowUpError: one of them has none, or none any more; the narrowest class that fits.
        StoreError: a file is not what it was.
    """
    earlier = []
    steadily = partial(patiently, check=check, job_id=record.id)
    for job_id in record.request.previous:
        final = steadily(partial(comparable, store, job_id))
        paths = {}
        for name in (SCAN, LABELS, REPORT):
            check()
            paths[name] = steadily(partial(_download, store, final, name, folder / f"{job_id}-{name}"))
        report = Report.model_validate_json(paths[REPORT].read_bytes())
        scan, labels = (read_nifti(paths[name], DEFAULT_LIMITS)[0] for name in (SCAN, LABELS))
        earlier.append(Earlier(report, scan, Measured(report.lesions, labels)))
    return earlier


def followed(
    report: Report,
    scan: Scan,
    found: Segmentation,
    earlier: Sequence[Earlier],
    folder: Path,
    *,
    check: Callable[[], None],
) -> Report:
    """The report with what has changed since the earlier scans; as it is without any.

    Args:
        report: Of this scan alone.
        scan: As it was read.
        found: What was found in it.
        earlier: The baseline first.
        folder: Takes the hand-over of each registration.
        check: Called often; what it raises ends the work.

    Raises:
        NotVolumeError: this scan is a single picture.
        RegistrationError: an earlier scan cannot be registered to this one.
    """
    if not earlier:
        return report
    if scan.is_picture:
        raise NotVolumeError(
            "Expected a volume to compare with an earlier one, but this scan is a single picture."
        )
    now = Measured(found.lesions, found.labels)
    targets = earlier[0].report.rano_bm.targets if earlier[0].report.rano_bm else []
    comparisons, visits, groups, motions = [], list[Visit](), list[list[Group]](), list[Motion]()
    for number, one in enumerate(earlier):
        (folder / f"{number}").mkdir()
        alignment = align(scan.volume, one.scan, folder / f"{number}", check=check)
        motions.append(np.array(alignment.to_previous_ras_mm))
        groups.append(match(one.measured, now, motions[-1]))
        visits.append(_visit(one, earlier[0], targets, motions))
        comparisons.append(
            Comparison(
                job_id=one.report.job_id,
                came_along=one.came_along,
                model=one.report.model,
                threshold=one.report.threshold,
                lesion_count=one.report.lesion_count,
                total_volume_mm3=one.report.total_volume_mm3 or 0.0,
                sum_of_longest_diameters_mm=visits[-1].sum_mm,
                alignment=alignment,
                changes=changes_of(groups[-1], one.measured, now, targets=() if number else targets),
            )
        )
    verdict = judge(visits, _visit_of(report, groups[0], targets), new_lesions_on_slices=_new(report, groups))
    follow_up = FollowUp(
        comparisons=comparisons,
        verdict=verdict,
        reference=REFERENCE,
        rules=RULES,
        kinds=KINDS,
        not_judged=list(NOT_JUDGED),
    )
    warnings = [*report.warnings, *_warnings_along(report, earlier), *doubts(report, comparisons)]
    return report.model_copy(update={"follow_up": follow_up, "warnings": warnings})


def doubts(report: Report, comparisons: Sequence[Comparison]) -> list[str]:
    """Warnings of what makes a comparison less sure."""
    told = []
    least = min(one.alignment.correlation for one in comparisons)
    if least < DOUBTFUL_CORRELATION:
        told.append(
            "This scan and an earlier one look less alike than two scans of the same head do (a correlation of "
            f"{least:.2f}): look at both before trusting what is said to have changed."
        )
    if any((one.model, one.threshold) != (report.model, report.threshold) for one in comparisons):
        told.append(
            "An earlier scan was measured by another model, version or threshold, to which what is said to have "
            "changed may be due."
        )
    return told


def _warnings_along(report: Report, earlier: Sequence[Earlier]) -> list[str]:
    """What nobody has read yet of an uploaded prior, but for what holds for both scans."""
    unread = (warning for one in earlier if one.came_along for warning in one.report.warnings)
    return [f"The earlier scan: {warning}" for warning in unread if warning not in report.warnings]


def _download(store: JobStore, final: JobResult, name: str, path: Path) -> Path:
    """Fetch an artefact of an earlier job and make sure that it is what was stored."""
    [artefact] = [one for one in final.artefacts if one.name == name]
    key = store.artefact_key(final.job_id, final.attempt or 1, name)
    otherwise = f"The stored {name} of an earlier job is not the file that its job made."
    try:
        download_same(store.blobs, key, path, artefact.sha256, otherwise=otherwise)
    except BlobNotFoundError as exc:  # deleted since it was looked at
        raise gone(final.job_id) from exc
    return path


def _visit(one: Earlier, baseline: Earlier, targets: Sequence[int], motions: Sequence[Motion]) -> Visit:
    """The baseline's targets in an earlier scan; the last of the motions is its own, the first the baseline's."""
    if one is baseline:
        own = [Group((target,), (target,)) for target in targets]
        return _visit_of(one.report, own, targets)
    to_baseline = motions[0] @ np.linalg.inv(motions[-1])
    return _visit_of(one.report, match(baseline.measured, one.measured, to_baseline), targets)


def _visit_of(report: Report, since_baseline: Sequence[Group], targets: Sequence[int]) -> Visit:
    rano = report.rano_bm
    return Visit(
        job_id=report.job_id,
        lesion_count=report.lesion_count,
        applies=rano is not None and rano.applies,
        targets={
            target: next(group.now for group in since_baseline if target in group.before) for target in targets
        },
        longest_mm={lesion.label: lesion.longest_diameter_mm or 0.0 for lesion in report.lesions},
    )


def _new(report: Report, groups: Sequence[Sequence[Group]]) -> list[int]:
    """Slices of each lesion that none of the earlier scans shows."""
    known = {label for comparison in groups for group in comparison if group.before for label in group.now}
    return [lesion.slices_spanned or 1 for lesion in report.lesions if lesion.label not in known]
