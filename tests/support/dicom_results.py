"""Makes the DICOM objects of a result whose lesions are given, from real files and without a network."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from dicom_series import SERIES_UID, classic, enhanced, write
from numpy.typing import NDArray
from phantoms import affine_of, card, centred
from pydicom import Dataset, dcmread

from metseg.imaging.limits import DEFAULT_LIMITS
from metseg.imaging.volume import Volume
from metseg.inference.segment import Segmentation
from metseg.lesions.find import LesionRules, find_lesions
from metseg.schemas.job import InputFile, JobRecord, JobRequest, ModelRef
from metseg.schemas.report import Report
from metseg_worker.anatomy.neck import anatomy_of
from metseg_worker.outputs.dicom import sandboxed
from metseg_worker.outputs.report import AskedModel, build_report
from metseg_worker.readers.dicom.read import read_dicom

JOB_ID = "01a20000-0000-7000-8000-000000000001"
SHAPE, SPACING_MM = (44, 38, 16), (1.5, 1.25, 3.0)
OBLIQUE = np.array(((0.9698, -0.1710, 0.1737), (0.2133, 0.9397, -0.2676), (-0.1175, 0.2965, 0.9478)))
GRIDS = {
    "axial": (("L", "A", "S"), None),
    "axial from the head down": (("R", "A", "I"), None),
    "sagittal": (("P", "S", "R"), None),
    "coronal": (("L", "S", "P"), None),
    "oblique": (("L", "A", "S"), np.linalg.qr(OBLIQUE)[0]),
}


@dataclass(frozen=True)
class Made:
    """What was made of which lesions; `images` is the source by SOPInstanceUID, `affine` the grid of `labels`."""

    folder: Path
    images: dict[str, Dataset]
    labels: NDArray[np.uint16]
    affine: NDArray[np.float64]
    report: Report

    def read(self, name: str) -> Dataset:
        return dcmread(self.folder / name)

    def slice_of(self, index: int) -> NDArray[np.uint16]:
        """The lesions' numbers in a source slice, rows × columns."""
        return self.labels[:, ::-1, index].T


def grid(name: str) -> Volume:
    """A scan of noise on a grid of `GRIDS`, off the middle of the patient."""
    codes, rotation = GRIDS[name]
    affine = centred(affine_of(codes, SPACING_MM, rotation), SHAPE, np.array((7.0, -11, 23)))
    return Volume(np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.uint16), affine)


def lesions() -> NDArray[np.uint8]:
    """A ring that is open at its ends, a ball with two holes, and one voxel: on one side of the grid."""
    place = np.moveaxis(np.indices(SHAPE), 0, -1) * SPACING_MM
    ring = np.linalg.norm(place - (18.0, 16, 21), axis=-1)
    ball = np.linalg.norm(place - (46.0, 30, 24), axis=-1)
    mask = ((ring < 13) & (ring > 7)) | (ball < 9)
    mask[28:30, 24:26, 7:9] = mask[33, 22:24, 8] = False
    mask[3, 33, 13] = True
    return mask.astype(np.uint8)


def series(name: str, files: str = "an image a slice") -> list[Dataset]:
    """The scan of a grid: an image a slice, all in one, or half of them in each of two."""
    volume = grid(name)
    if files == "an image a slice":
        return classic(volume)
    if files == "one image":
        return [enhanced(volume)]
    halves = (volume.array[..., :6], volume.array[..., 6:])
    moved = volume.affine @ np.array(((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 6), (0, 0, 0, 1)))
    images = [enhanced(Volume(half, affine)) for half, affine in zip(halves, (volume.affine, moved), strict=True)]
    images[1].SOPInstanceUID = images[1].file_meta.MediaStorageSOPInstanceUID = f"{SERIES_UID}.2"
    return images


def make(folder: Path, images: list[Dataset], mask: NDArray[np.uint8]) -> Made:
    """Write a series, read it as a worker does, and make the objects of the lesions in the mask."""
    scan = read_dicom(write(images, folder / "series"), None, DEFAULT_LIMITS)
    probability = scan.volume.with_array(mask.astype(np.float32))
    rules = LesionRules(0, 0, is_picture=False, has_spacing=True)
    found, labels = find_lesions(scan.volume.with_array(mask > 0), probability.array, rules)
    numbers = scan.volume.with_array(labels)
    segmentation = Segmentation(probability, scan.volume.with_array(mask), numbers, found, 0.5, coarsened=False)
    report = build_report(_record(), AskedModel(card(), "a test"), scan, segmentation, anatomy_of(scan))
    for name in ("told", "results"):
        (folder / name).mkdir()
    finding = sandboxed.Finding(scan, segmentation, report, is_metastases=True)
    with sandboxed.object_writer(scan, folder / "told", folder / "results") as writer:
        writer.begin(finding)
        writer.files(check=lambda: None)
    by_uid = {image.SOPInstanceUID: image for image in images}
    return Made(folder / "results", by_uid, labels, scan.volume.affine, report)


def _record() -> JobRecord:
    known = card()
    return JobRecord(
        id=JOB_ID,
        created_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        request=JobRequest(),
        model=ModelRef(name=known.name, version=known.version, digest=known.digest),
        inputs=[InputFile(key="unused", size_bytes=1, sha256=f"{number:064x}") for number in (1, 2)],
    )
