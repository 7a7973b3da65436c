"""A prior uploaded with a job: processed like the job's own scan, and kept beside its result."""

from pathlib import Path
from typing import Final

from metseg.imaging.nifti import write_nifti
from metseg.imaging.scan import Scan
from metseg.inference.segment import Segmentation
from metseg.schemas.job import JobRecord
from metseg.schemas.report import Report
from metseg_worker.outputs.images_and_csv import JSON_TYPE, NIFTI_TYPE
from metseg_worker.outputs.report import note_of

PREFIX: Final = "previous_"
"""Of the names of its files: the three that a comparison needs."""


def as_job_of_prior(record: JobRecord) -> JobRecord:
    """Return the record as if its job were of the prior alone, without a pixel size, which is for pictures."""
    chosen = {"series_uid": record.request.previous_series_uid, "previous_series_uid": None, "spacing_mm": None}
    request = record.request.model_copy(update=chosen)
    own = {"request": request, "inputs": record.previous_inputs, "previous_inputs": []}
    return record.model_copy(update=own)


def write_prior(scan: Scan, found: Segmentation, report: Report, folder: Path) -> list[tuple[Path, str]]:
    """Write what a comparison with the prior needs: scan, numbered lesions and report.

    Args:
        scan: A volume, as it was read.
        found: Its lesions.
        report: Of the prior alone.
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
