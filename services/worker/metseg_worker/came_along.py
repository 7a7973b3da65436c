"""An earlier scan that came along with a job: treated as the job's own scan is, and kept beside its result."""

from pathlib import Path
from typing import Final

from metseg.jobs import JobRecord
from metseg.nifti import write_nifti
from metseg.report import Report
from metseg.scan import Scan
from metseg.segment import Segmentation
from metseg_worker.artefacts import JSON_TYPE, NIFTI_TYPE
from metseg_worker.report import note_of

PREFIX: Final = "previous_"
"""Of the names of its files, which are the three of an earlier job that a comparison needs."""


def as_own_job(record: JobRecord) -> JobRecord:
    """The record as if its job were of the earlier scan alone; a pixel size is for pictures, which it is not."""
    chosen = {"series_uid": record.request.previous_series_uid, "previous_series_uid": None, "spacing_mm": None}
    request = record.request.model_copy(update=chosen)
    own = {"request": request, "inputs": record.previous_inputs, "previous_inputs": []}
    return record.model_copy(update=own)


def write_along(scan: Scan, found: Segmentation, report: Report, folder: Path) -> list[tuple[Path, str]]:
    """Write what a comparison with the earlier scan rests on: scan, numbered lesions and report.

    Args:
        scan: A volume, as it was read.
        found: What was found in it.
        report: Of it alone.
        folder: Where to write.

    Returns:
        The files with their media types.
    """
    files = []
    for name, volume in (("scan", scan.volume), ("lesions", found.labels)):
        path = folder / f"{PREFIX}{name}.nii.gz"
        write_nifti(path, volume, scan.nifti_header, note=note_of(report))
        files.append((path, NIFTI_TYPE))
    path = folder / f"{PREFIX}report.json"
    path.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return [*files, (path, JSON_TYPE)]
