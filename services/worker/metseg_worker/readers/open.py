"""The files of a job, one or many, become one scan; kinds are recognised by content, never by name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from metseg.errors import EmptyInputError, UnknownFormatError, UnsupportedInputError
from metseg.imaging.limits import DEFAULT_LIMITS, ReadLimits
from metseg.imaging.scan import FORMATS_READ, Scan, ScanKind, kind_of, read_scan
from metseg_worker.readers.dicom.prefix import is_dicom
from metseg_worker.readers.duplicates import drop_copies
from metseg_worker.readers.plausibility import check_appearance
from metseg_worker.readers.zip import is_zip, unpack


@dataclass(frozen=True)
class ReadOptions:
    """What the sender said of the input.

    Attributes:
        spacing_mm: For a picture, the distance between its columns and between its rows.
        series_uid: Which DICOM series is meant.
    """

    spacing_mm: tuple[float, float] | None = None
    series_uid: str | None = None


@dataclass(frozen=True)
class _LeftOut:
    """How many files were not looked at: copies of others, zip files within zip files, and those too dense."""

    copies: int
    zips: int
    too_dense: int

    def sentences(self, others: int) -> Iterator[str]:
        """For the report; `others` were looked at and are no image of the scan."""
        for count, what in (
            (others + self.too_dense, "no image of the scan"),
            (self.copies, "the same as others"),
            (self.zips, "a zip file within another file"),
        ):
            if count:
                yield f"Left out {'1 file that is' if count == 1 else f'{count} files that are'} {what}."


def open_scan(
    paths: Sequence[Path], folder: Path, asked: ReadOptions, limits: ReadLimits = DEFAULT_LIMITS
) -> Scan:
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
    unpacked = unpack(paths, folder)
    sent = drop_copies(unpacked.files)
    if not sent:
        raise EmptyInputError("expected an image, got a zip file without one")
    files = [path for path in sent if not is_zip(path)]
    left_out = _LeftOut(len(unpacked.files) - len(sent), len(sent) - len(files), unpacked.too_dense)
    if not files:
        raise UnsupportedInputError("expected a zip file of images, got a zip file within it")
    dicom = [path for path in files if is_dicom(path)]
    images = {path: kind_of(path) for path in files if path not in set(dicom)}
    volumes = [path for path, kind in images.items() if kind is ScanKind.NIFTI]
    if dicom and volumes:
        raise UnsupportedInputError("expected one scan, got DICOM and NIfTI files together")
    if dicom:
        from metseg_worker.readers.dicom.read import (
            read_dicom,  # loading pydicom takes as long as reading a NIfTI file
        )

        return _warned(read_dicom(dicom, asked.series_uid, limits), left_out, len(files) - len(dicom))
    if asked.series_uid is not None:
        raise UnsupportedInputError("expected DICOM files, for a series was named by its UID, but there are none")
    scan = read_scan(_only(volumes, images), limits=limits, spacing_mm=asked.spacing_mm)
    return _warned(scan, left_out, len(files) - 1)


def _only(volumes: list[Path], images: dict[Path, ScanKind | None]) -> Path:
    """The one file to read: of several, the NIfTI file, else the picture."""
    if len(images) == 1:
        return next(iter(images))
    found = volumes or [path for path, kind in images.items() if kind is ScanKind.PICTURE]
    if not found:
        raise UnknownFormatError(f"expected {FORMATS_READ}, got {len(images)} files of which none is one")
    if len(found) > 1:
        raise UnsupportedInputError(f"expected one scan, got {len(found)}; send them one by one")
    return found[0]


def _warned(scan: Scan, left_out: _LeftOut, others: int) -> Scan:
    """The scan with what its voxels show and what else was sent; `others` counts files of no kind that is read."""
    return replace(scan, warnings=(*scan.warnings, *check_appearance(scan), *left_out.sentences(others)))
