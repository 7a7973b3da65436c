"""Writes `seg.dcm`, `sr.dcm` and `rtstruct.dcm` in a confined process, which alone sees who the patient is.

`python -m metseg_worker.dicom_objects` is that process. It reads the headers of the source again, so a hostile one
can do no more here than while the scan was read.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from metseg.report import Report
from metseg.scan import Scan, SourceSlice
from metseg.segment import Segmentation
from metseg.volume import Volume
from metseg_worker.confined import USUAL, answer, run_confined

DICOM_TYPE: Final = "application/dicom"
MOST_LESIONS: Final = 500
"""More are no finding but noise, and take longer to write than a job may: some 40 ms of processor each."""
LABELS, REPORT, SOURCE = "labels.npy", "report.json", "source.json"


@dataclass(frozen=True, eq=False)
class Finding:
    """What the objects are to hold; `is_metastases` tells whether the model has learnt these."""

    scan: Scan
    segmentation: Segmentation
    report: Report
    is_metastases: bool


def write_objects(
    finding: Finding, folder: Path, results: Path, *, check: Callable[[], None]
) -> list[tuple[Path, str]]:
    """Write the objects of a scan; none where it came from no DICOM images, or from some that have no UIDs.

    Neither are there any of more than `MOST_LESIONS`.

    Without a lesion the report is the only one: a segmentation and a structure set must hold one thing at least
    (PS3.3, C.8.20.2 and C.8.8.5).

    Args:
        finding: What they are to hold.
        folder: Takes what the confined process is told.
        results: Takes the objects.
        check: As for `run_confined`.

    Returns:
        The files with their media type.

    Raises:
        InputError: a header cannot be read.
    """
    if not finding.scan.slices or len(finding.report.lesions) > MOST_LESIONS:
        return []
    np.save(folder / LABELS, finding.segmentation.labels.array, allow_pickle=False)
    (folder / REPORT).write_text(finding.report.model_dump_json(), encoding="utf-8")
    (folder / SOURCE).write_text(json.dumps([(str(one.path), one.frame) for one in finding.scan.slices]))
    given = {
        "folder": str(folder),
        "results": str(results),
        "affine": finding.segmentation.labels.affine.tolist(),
        "is_metastases": finding.is_metastases,
    }
    run_confined(__spec__.name, folder, given, check=check, limits=USUAL)
    names = ("seg.dcm", "sr.dcm", "rtstruct.dcm") if finding.report.lesions else ("sr.dcm",)
    return [(results / name, DICOM_TYPE) for name in names]


def main(given: dict[str, Any]) -> None:
    """Be the confined process."""
    # Loading highdicom takes longer than all that the worker does without it, and is for this process alone.
    from metseg_worker.dicom_marks import Marks
    from metseg_worker.dicom_rtstruct import build_rtstruct
    from metseg_worker.dicom_seg import build_seg
    from metseg_worker.dicom_source import read_source
    from metseg_worker.dicom_sr import build_sr

    folder, results = Path(given["folder"]), Path(given["results"])
    labels = Volume(np.load(folder / LABELS, allow_pickle=False), np.array(given["affine"]))
    marks = Marks(Report.model_validate_json((folder / REPORT).read_bytes()), given["is_metastases"])
    slices = [SourceSlice(Path(path), frame) for path, frame in json.loads((folder / SOURCE).read_text())]
    source = read_source(slices, labels)
    seg = build_seg(source, marks) if marks.report.lesions else None
    build_sr(source, marks, seg).save_as(results / "sr.dcm", enforce_file_format=True)
    if seg is not None:
        seg.save_as(results / "seg.dcm", enforce_file_format=True)
        build_rtstruct(source, marks).save_as(results / "rtstruct.dcm", enforce_file_format=True)


if __name__ == "__main__":
    answer(main)
