"""Has `seg.dcm`, `sr.dcm` and `rtstruct.dcm` written by a confined process, beside other work.

`metseg_worker.outputs.dicom.write` is that process. It takes a second to load, so it is started before the
network is asked, and writes while the worker writes and draws the other files.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from metseg.imaging.scan import Scan
from metseg.inference.segment import Segmentation
from metseg.schemas.report import Report
from metseg_worker.sandbox.parent import USUAL, Confined, confined

WRITER: Final = "metseg_worker.outputs.dicom.write"
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


class ObjectWriter:
    """Writes the objects of one scan.

    There are none where the scan came from no DICOM images, or from some that have no UIDs, nor of more than
    `MOST_LESIONS`. Without a lesion the report is the only one: a segmentation and a structure set must hold one
    thing at least (PS3.3, C.8.20.2 and C.8.8.5).
    """

    def __init__(self, process: Confined | None, folder: Path, results: Path) -> None:
        """Hold the process; None writes nothing."""
        self._process, self._folder, self._results = process, folder, results
        self._names: tuple[str, ...] = ()

    def begin(self, finding: Finding) -> None:
        """Let the process write the objects of a finding."""
        if self._process is None or len(finding.report.lesions) > MOST_LESIONS:
            return
        np.save(self._folder / LABELS, finding.segmentation.labels.array, allow_pickle=False)
        (self._folder / REPORT).write_text(finding.report.model_dump_json(), encoding="utf-8")
        (self._folder / SOURCE).write_text(json.dumps([(str(one.path), one.frame) for one in finding.scan.slices]))
        self._process.tell(
            {
                "folder": str(self._folder),
                "results": str(self._results),
                "affine": finding.segmentation.labels.affine.tolist(),
                "is_metastases": finding.is_metastases,
            }
        )
        self._names = ("seg.dcm", "sr.dcm", "rtstruct.dcm") if finding.report.lesions else ("sr.dcm",)

    def files(self, check: Callable[[], None]) -> list[tuple[Path, str]]:
        """Wait for the objects.

        Args:
            check: As for `Confined.wait`.

        Returns:
            The files with their media type.

        Raises:
            InputError: a header cannot be read, or not be made into valid objects.
        """
        if self._process is not None and self._names:
            self._process.wait(check)
        return [(self._results / name, DICOM_TYPE) for name in self._names]


@contextmanager
def object_writer(scan: Scan, folder: Path, results: Path) -> Iterator[ObjectWriter]:
    """Start the process that writes the objects of a scan; it ends with the block.

    Args:
        scan: As it was read.
        folder: Takes what the process is told.
        results: Takes the objects; the process can write there alone, so nothing else should lie in it.
    """
    if not scan.slices:
        yield ObjectWriter(None, folder, results)
        return
    sources = dict.fromkeys(one.path.parent for one in scan.slices)
    with confined(WRITER, results, USUAL, [folder, *sources]) as process:
        yield ObjectWriter(process, folder, results)
