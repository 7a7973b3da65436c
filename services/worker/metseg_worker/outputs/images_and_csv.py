"""Writes the files of a result: images on the source grid and the table of lesions."""

import csv
from pathlib import Path
from typing import Final

import numpy as np

from metseg.imaging.nifti import write_nifti
from metseg.imaging.picture import write_picture
from metseg.imaging.scan import Scan
from metseg.inference.segment import Segmentation
from metseg.schemas.report import Lesion, RanoVerdict, Report
from metseg_worker.outputs.report import note_of

NIFTI_TYPE: Final = "application/gzip"
PNG_TYPE: Final = "image/png"
CSV_TYPE: Final = "text/csv"
JSON_TYPE: Final = "application/json"
PDF_TYPE: Final = "application/pdf"

COLUMNS: Final = (
    *("label", "voxels", "volume_mm3", "equivalent_sphere_mm", "area_mm2", "area_px"),
    *("longest_diameter_mm", "perpendicular_diameter_mm"),
    *("longest_diameter_px", "perpendicular_diameter_px"),
    *("centroid_x_ras_mm", "centroid_y_ras_mm", "centroid_z_ras_mm", "centroid_column_px", "centroid_row_px"),
    *("mean_probability", "max_probability", "confidence", "disagreement"),
    *("slice_axis", "slice_index", "slices_spanned"),
    *("hemisphere", "right_of_midplane_mm", "head_surface_mm"),
    *("rano_bm_measurable", "rano_bm_target", "rano_bm_decided_by"),
    "made_by",
)
"""Columns of `lesions.csv`, the same for every input; a figure that does not apply is left empty.

`made_by` says in every row what `note_of` says, for rows are torn from their file."""


def write_images(
    scan: Scan, segmentation: Segmentation, folder: Path, *, note: str = ""
) -> list[tuple[Path, str]]:
    """Write mask, probability, scan and (for a volume) lesion numbers.

    Args:
        scan: As it was read.
        segmentation: What was found.
        folder: Where to write.
        note: Travels with each of the files.

    Returns:
        The files with their media types.
    """
    if scan.is_picture:
        return [(path, PNG_TYPE) for path in _write_pictures(scan, segmentation, folder, note)]
    volumes = {
        "mask": segmentation.mask,
        "lesions": segmentation.labels,
        "probability": segmentation.probability,
        "scan": scan.volume,
    }
    files = []
    for name, volume in volumes.items():
        path = folder / f"{name}.nii.gz"
        write_nifti(path, volume, scan.nifti_header, note=note)
        files.append((path, NIFTI_TYPE))
    return files


def _write_pictures(scan: Scan, segmentation: Segmentation, folder: Path, note: str) -> list[Path]:
    pixels = {
        "mask": segmentation.mask.array * np.uint8(255),
        "probability": np.rint(segmentation.probability.array * 255).astype(np.uint8),
        "scan": scan.volume.array,
    }
    paths = []
    for name, array in pixels.items():
        paths.append(folder / f"{name}.png")
        write_picture(paths[-1], array[:, :, 0], note=note)
    return paths


def write_table(report: Report, path: Path) -> None:
    """Write `lesions.csv`: a header and one row a lesion, largest first."""
    verdicts = {} if report.rano_bm is None else {verdict.label: verdict for verdict in report.rano_bm.lesions}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        made_by = {"made_by": note_of(report)}
        writer.writerows(_row(lesion, verdicts.get(lesion.label)) | made_by for lesion in report.lesions)


def _row(lesion: Lesion, verdict: RanoVerdict | None) -> dict[str, str]:
    values = lesion.model_dump()
    x, y, z = lesion.centroid_ras_mm or (None, None, None)
    column, row = lesion.centroid_px or (None, None)
    values |= {"centroid_x_ras_mm": x, "centroid_y_ras_mm": y, "centroid_z_ras_mm": z}
    values |= {"centroid_column_px": column, "centroid_row_px": row}
    if verdict is not None:
        values["rano_bm_measurable"] = str(verdict.measurable).lower()
        values["rano_bm_target"] = str(verdict.target).lower()
        values["rano_bm_decided_by"] = verdict.decided_by.value
    return {name: _cell(values.get(name)) for name in COLUMNS}


def _cell(value: float | str | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
