"""The confined process that writes the DICOM objects of a result, which alone sees who the patient is.

`main` runs in that process. It reads the headers of the source again, so a hostile one
can do no more here than while the scan was read. Nothing else loads this module, for highdicom takes long to load.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from metseg.imaging.scan import SourceSlice
from metseg.imaging.volume import Volume
from metseg.schemas.report import Report
from metseg_worker.outputs.dicom.metadata import Marks
from metseg_worker.outputs.dicom.rtstruct import build_rtstruct
from metseg_worker.outputs.dicom.sandboxed import LABELS, REPORT, SOURCE
from metseg_worker.outputs.dicom.seg import build_seg
from metseg_worker.outputs.dicom.source_series import read_source
from metseg_worker.outputs.dicom.sr import build_sr


def main(given: dict[str, Any]) -> None:
    """Write the objects of the one folder into the other."""
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
