"""A scan as it came: its voxels, and what its file said about them."""

import json
import zlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from metseg.errors import EmptyInputError, UnknownFormatError
from metseg.imaging.limits import DEFAULT_LIMITS, ReadLimits
from metseg.imaging.nifti import GZIP_MAGIC, HEADER_BYTES, is_nifti, knows_place, read_nifti
from metseg.imaging.picture import is_picture, read_picture
from metseg.imaging.volume import Volume

FORMATS_READ = (
    "a DICOM series, a NIfTI file (.nii, .nii.gz), a picture (PNG, JPEG, TIFF) "
    "or a zip file (.zip) of one of these"
)
"""What may be sent, for messages about anything else; DICOM and zip files are read by the worker."""


class ScanKind(StrEnum):
    """What a scan was read from."""

    DICOM = "dicom"
    NIFTI = "nifti"
    PICTURE = "picture"


@dataclass(frozen=True)
class SourceSlice:
    """The DICOM image that a slice of a volume came from; `frame` counts from 0 in its file."""

    path: Path
    frame: int


@dataclass(frozen=True, eq=False)
class Scan:
    """A volume in its source grid.

    Attributes:
        volume: Voxels in their stored order. A picture has one slice in display order: axis 0 its columns, from
            the patient's right to left; axis 1 its rows, from front to back.
        kind: What it was read from.
        has_spacing: False for a picture that came without `spacing_mm`; its affine counts pixels then.
        nifti_header: The geometry of a NIfTI file, to write results with the very same one.
        warnings: Sentences for the report.
        slices: Of a DICOM series, where each slice along axis 2 came from; empty where its images cannot be
            referred to. Whose images they are is not kept: what must carry it reads these files again.
    """

    volume: Volume
    kind: ScanKind
    has_spacing: bool = True
    nifti_header: bytes | None = None
    warnings: tuple[str, ...] = ()
    slices: tuple[SourceSlice, ...] = ()

    @property
    def is_picture(self) -> bool:
        """Whether this is a lone slice without a place in the patient."""
        return self.kind is ScanKind.PICTURE

    @property
    def knows_sides(self) -> bool:
        """Whether its file says where left and right are: no picture does, nor NIfTI without sform and qform."""
        return not self.is_picture and (self.nifti_header is None or knows_place(self.nifti_header))


def read_scan(
    path: Path, *, limits: ReadLimits = DEFAULT_LIMITS, spacing_mm: tuple[float, float] | None = None
) -> Scan:
    """Read a NIfTI file or a picture, told apart by content and never by name.

    Args:
        path: The file.
        limits: What may be read at most.
        spacing_mm: For a picture, the distance between its columns and between its rows; NIfTI brings its own.

    Raises:
        InputError: the narrowest class that fits; the message can be shown to the sender.
    """
    if not path.stat().st_size:
        raise EmptyInputError("expected an image, got an empty file")
    kind = kind_of(path)
    if kind is ScanKind.NIFTI:
        volume, header, warnings = read_nifti(path, limits)
        return Scan(volume, ScanKind.NIFTI, nifti_header=header, warnings=warnings)
    if kind is ScanKind.PICTURE:
        volume = read_picture(path, limits, spacing_mm)
        return Scan(volume, ScanKind.PICTURE, has_spacing=spacing_mm is not None)
    raise UnknownFormatError(f"expected {FORMATS_READ}, got something else")


def kind_of(path: Path) -> ScanKind | None:
    """What `read_scan` would read a file as; None if it would not."""
    start = _first_bytes(path)
    if is_nifti(start):
        return ScanKind.NIFTI
    return ScanKind.PICTURE if is_picture(start) else None


def save_scan(scan: Scan, folder: Path) -> None:
    """Hand a scan to another process: `scan.npy` and `scan.json` in a folder that exists."""
    np.save(folder / "scan.npy", scan.volume.array, allow_pickle=False)
    about = {
        "affine": scan.volume.affine.tolist(),
        "kind": scan.kind,
        "has_spacing": scan.has_spacing,
        "nifti_header": None if scan.nifti_header is None else scan.nifti_header.hex(),
        "warnings": scan.warnings,
        "slices": [(str(one.path), one.frame) for one in scan.slices],
    }
    (folder / "scan.json").write_text(json.dumps(about))


def load_scan(folder: Path) -> Scan:
    """Take over what `save_scan` left."""
    about = json.loads((folder / "scan.json").read_text())
    array = np.load(folder / "scan.npy", allow_pickle=False)
    return Scan(
        volume=Volume(array, np.array(about["affine"])),
        kind=ScanKind(about["kind"]),
        has_spacing=about["has_spacing"],
        nifti_header=None if about["nifti_header"] is None else bytes.fromhex(about["nifti_header"]),
        warnings=tuple(about["warnings"]),
        slices=tuple(SourceSlice(Path(path), frame) for path, frame in about["slices"]),
    )


def _first_bytes(path: Path) -> bytes:
    """As many bytes as a format needs to be known by; of a gzip file, unpacked."""
    with path.open("rb") as file:
        start = file.read(64 << 10)
    if not start.startswith(GZIP_MAGIC):
        return start[: HEADER_BYTES[2]]
    try:
        return zlib.decompressobj(wbits=31).decompress(start, HEADER_BYTES[2]) or start
    except zlib.error:
        return start
