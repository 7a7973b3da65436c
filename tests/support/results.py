"""The files of a result with known lesions, made from ellipsoids, as the worker writes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from fake_api import Files
from numpy.typing import NDArray

from metseg.imaging.nifti import write_nifti
from metseg.imaging.picture import write_picture
from metseg.imaging.volume import Volume
from metseg.lesions.find import LesionRules, find_lesions
from metseg.response.rano_bm import assess
from metseg.schemas.job import ModelRef
from metseg.schemas.report import Lesion, Report, SourceInfo

SHAPE = (120, 144, 60)
SPACING_MM = (1.5, 1.25, 2.5)
BALLS = (((-28.0, 30.0, 12.0), 11.0), ((34.0, -22.0, 2.0), 7.0), ((-12.0, -40.0, 30.0), 4.5))
"""Lesions of the volume: centre in RAS+ mm, radius in mm; largest first."""


@dataclass(frozen=True, eq=False)
class Made:
    """A result by construction."""

    files: Files
    lesions: list[Lesion]
    scan: Volume
    labels: NDArray[np.uint16]


def volume_result(folder: Path, *, balls: Sequence[tuple[tuple[float, float, float], float]] = BALLS) -> Made:
    """A head stored in LPS order with three lesions, the largest in the left front."""
    affine = np.diag((-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0))
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    grid = Volume(np.zeros(SHAPE, np.int16), affine)
    places = grid.world(np.argwhere(np.ones(SHAPE))).reshape(*SHAPE, 3)
    grey = _head(places)
    mask = np.zeros(SHAPE, np.uint8)
    for centre, radius in balls:
        far = np.linalg.norm(places - centre, axis=-1)
        mask[far <= radius] = 1
        grey[far <= radius] = np.where(far[far <= radius] > radius * 0.45, 950, 500)
    scan = grid.with_array(grey.astype(np.int16))
    probability = mask * np.float32(0.9)
    lesions, labels = find_lesions(grid.with_array(mask), probability, LesionRules())
    volumes = {"mask": mask, "lesions": labels, "probability": probability, "scan": scan.array}
    files: Files = {}
    for name, array in volumes.items():
        path = folder / f"{name}.nii.gz"
        write_nifti(path, grid.with_array(array))
        files[path.name] = ("application/gzip", path.read_bytes())
    report = _report("nifti", scan, SPACING_MM, lesions, sum(lesion.volume_mm3 or 0 for lesion in lesions))
    return Made(_with_texts(files, report), lesions, scan, labels)


def picture_result(folder: Path, *, spacing_mm: tuple[float, float] | None = None) -> Made:
    """One slice as a picture of 200 columns and 160 rows with two lesions."""
    columns, rows = np.indices((200, 160))
    grey = np.where(((columns - 100) / 90) ** 2 + ((rows - 80) / 70) ** 2 < 1, 90, 5).astype(np.uint8)
    mask = np.zeros_like(grey)
    for column, row, radius in ((50, 40, 14), (140, 110, 8)):
        inside = (columns - column) ** 2 + (rows - row) ** 2 <= radius**2
        mask[inside], grey[inside] = 1, 230
    affine = (
        np.diag((-1.0, -1.0, 1.0, 1.0))
        if spacing_mm is None
        else np.diag((-spacing_mm[0], -spacing_mm[1], 1, 1.0))
    )
    scan = Volume(grey[:, :, None], affine)
    rules = LesionRules(is_picture=True, has_spacing=spacing_mm is not None)
    lesions, labels = find_lesions(scan.with_array(mask[:, :, None]), mask[:, :, None] * np.float32(0.8), rules)
    files: Files = {}
    for name, array in {"mask": mask * np.uint8(255), "probability": mask * np.uint8(204), "scan": grey}.items():
        path = folder / f"{name}.png"
        write_picture(path, array)
        files[path.name] = ("image/png", path.read_bytes())
    report = _report("picture", scan, None if spacing_mm is None else (*spacing_mm, 1.0), lesions, None)
    return Made(_with_texts(files, report), lesions, scan, labels)


def _head(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Grey values that look a little like a head: scalp, skull, brain with a darker middle."""
    size = np.linalg.norm(places / (72.0, 82.0, 66.0), axis=-1)
    grey = np.where(size < 1, 420.0, 0.0)
    grey[(size > 0.88) & (size < 0.95)] = 90
    grey[size < 0.88] = 300 + 60 * np.cos(places[size < 0.88] @ (0.25, 0.2, 0.15))
    grey[np.linalg.norm(places / (14.0, 26.0, 16.0), axis=-1) < 1] = 120
    return grey + np.random.default_rng(1).normal(0, 12, grey.shape)


def _report(
    kind: str,
    scan: Volume,
    spacing_mm: tuple[float, float, float] | None,
    lesions: list[Lesion],
    total_mm3: float | None,
) -> Report:
    return Report(
        job_id="JOB_ID",
        created_at=datetime.now(UTC),
        model=ModelRef(name="attention_unet", version=1, digest="0" * 64),
        trained_on=["Phantom", "Cheng T1c"],
        threshold=0.45,
        source=SourceInfo(kind=kind, shape=scan.shape, spacing_mm=spacing_mm, orientation=scan.orientation),
        lesion_count=len(lesions),
        total_volume_mm3=total_mm3,
        lesions=lesions,
        rano_bm=assess(lesions, scan, is_picture=kind == "picture"),
        warnings=["Voxels are 5.0 mm long on one side: small lesions may be missed."],
        software={"metseg": "0.1.0"},
    )


def _with_texts(files: Files, report: Report) -> Files:
    table = "label,voxels\n" + "".join(f"{lesion.label},{lesion.voxels}\n" for lesion in report.lesions)
    texts: Files = {
        "lesions.csv": ("text/csv", table.encode()),
        "report.json": ("application/json", report.model_dump_json().encode()),
    }
    return files | texts
