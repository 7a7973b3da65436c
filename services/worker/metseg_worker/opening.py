"""What came with a job, one file or many, becomes one scan; every kind is told by content, never by name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from metseg.errors import EmptyInputError, UnknownFormatError, UnsupportedInputError
from metseg.limits import DEFAULT_LIMITS, ReadLimits
from metseg.scan import Scan, ScanKind, kind_of, read_scan
from metseg_worker.appearance import check_appearance
from metseg_worker.unpacking import unpacked


@dataclass(frozen=True)
class Asked:
    """What the sender said of the input.

    Attributes:
        spacing_mm: For a picture, the distance between its columns and between its rows.
        series_uid: Which DICOM series is meant.
    """

    spacing_mm: tuple[float, float] | None = None
    series_uid: str | None = None


def open_scan(paths: Sequence[Path], folder: Path, asked: Asked, limits: ReadLimits = DEFAULT_LIMITS) -> Scan:
    """Read the scan that files, or zip files, hold.

    A DICOM series goes before pictures and texts that lie beside it, as on the disks that hospitals give away, and
    so does a NIfTI file.

    Args:
        paths: The files as they came.
        folder: Where zip files are unpacked to; the scan's `slices` may lie there.
        asked: What the sender said.
        limits: What may be read at most.

    Raises:
        InputError: the narrowest class that fits; the message can be shown to the sender.
    """
    files = unpacked(paths, folder)
    if not files:
        raise EmptyInputError("expected an image, got a zip file without one")
    dicom = [path for path in files if is_dicom(path)]
    images = {path: kind_of(path) for path in files if path not in set(dicom)}
    volumes = [path for path, kind in images.items() if kind is ScanKind.NIFTI]
    if dicom and volumes:
        raise UnsupportedInputError("expected one scan, got DICOM and NIfTI files together")
    if dicom:
        from metseg_worker.dicom_scan import read_dicom  # loading pydicom takes as long as reading a NIfTI file

        return _told(read_dicom(dicom, asked.series_uid, limits), len(files) - len(dicom))
    if asked.series_uid is not None:
        raise UnsupportedInputError("expected DICOM files, for a series was named by its UID, but there are none")
    return _told(read_scan(_only(volumes, images), limits=limits, spacing_mm=asked.spacing_mm), len(files) - 1)


def is_dicom(path: Path) -> bool:
    """Whether a file has the prefix of PS3.10, section 7.1."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _only(volumes: list[Path], images: dict[Path, ScanKind | None]) -> Path:
    """The one file to read: of several, the NIfTI file, else the picture."""
    if len(images) == 1:
        return next(iter(images))
    found = volumes or [path for path, kind in images.items() if kind is ScanKind.PICTURE]
    if not found:
        raise UnknownFormatError(f"expected a scan, got {len(images)} files of which none is an image")
    if len(found) > 1:
        raise UnsupportedInputError(f"expected one scan, got {len(found)}; send them one by one")
    return found[0]


def _told(scan: Scan, left_out: int) -> Scan:
    warnings = [*scan.warnings, *check_appearance(scan)]
    if left_out:
        files = "1 file that is" if left_out == 1 else f"{left_out} files that are"
        warnings.append(f"Left out {files} no image of the scan.")
    return replace(scan, warnings=tuple(warnings))
