"""From DICOM files to a scan."""

from collections.abc import Sequence
from pathlib import Path

from metseg.errors import InputTooLargeError, InputTooSmallError, NotMrError, UnknownFormatError
from metseg.imaging.limits import ReadLimits
from metseg.imaging.nifti import geometry_of
from metseg.imaging.scan import Scan, ScanKind, SourceSlice
from metseg.imaging.series_errors import MixedSlicesError
from metseg.imaging.volume import Volume
from metseg_worker.readers.dicom.geometry import affine_of, ordered
from metseg_worker.readers.dicom.header_checks import check_series
from metseg_worker.readers.dicom.headers import ImageFile, OtherFile, UnusableFile, read_header
from metseg_worker.readers.dicom.pixels import decode
from metseg_worker.readers.dicom.series import choose_series


def read_dicom(paths: Sequence[Path], series_uid: str | None, limits: ReadLimits) -> Scan:
    """Read one series of magnetic resonance images.

    Args:
        paths: DICOM files of one or more series, in any order, among which may be files without images.
        series_uid: The series that was asked for; None leaves the choice to the headers.
        limits: What may be read at most.

    Raises:
        InputError: the narrowest class that fits; see `metseg.imaging.series_errors` for a series that is not
            sound.
    """
    headers = [read_header(path) for path in paths]
    files = [header for header in headers if isinstance(header, ImageFile)]
    unusable = [header for header in headers if isinstance(header, UnusableFile)]
    others = [header for header in headers if isinstance(header, OtherFile)]
    if not files and not unusable:
        raise _no_images(others)
    series, warnings = choose_series(files, unusable, series_uid)
    warnings += (*_said_of(others), *check_series(series))
    size = _shared_size(series.files)
    _check_extent(size, series.slices, limits)
    planes = ordered([plane for file in series.files for plane in file.planes])
    affine = affine_of(planes, rows=size[1])
    volume = Volume(decode(planes, size), affine)
    if any(file.is_lossy for file in series.files):
        warnings += ("The images were compressed with loss, which may have blurred small lesions.",)
    can_be_referred_to = _can_be_referred_to(series.files)
    if not can_be_referred_to:
        warnings += ("The images do not say what they belong to, so no DICOM objects were made of the result.",)
    return Scan(
        volume,
        ScanKind.DICOM,
        nifti_header=geometry_of(volume),
        warnings=warnings,
        slices=tuple(SourceSlice(plane.path, plane.frame) for plane in planes) if can_be_referred_to else (),
    )


def _no_images(others: Sequence[OtherFile]) -> NotMrError | UnknownFormatError:
    modalities = _modalities(others)
    if modalities:
        return NotMrError(f"expected MR images, got DICOM files of modality {', '.join(modalities)}")
    return UnknownFormatError("expected DICOM images of an MR scanner, got DICOM files without any")


def _said_of(others: Sequence[OtherFile]) -> list[str]:
    if not others:
        return []
    files = "1 DICOM file that is" if len(others) == 1 else f"{len(others)} DICOM files that are"
    codes = f" ({', '.join(modalities)})" if (modalities := _modalities(others)) else ""
    return [f"Left out {files} no MR image{codes}."]


def _modalities(others: Sequence[OtherFile]) -> list[str]:
    return sorted({other.modality for other in others} - {"", "MR"})


def _shared_size(files: Sequence[ImageFile]) -> tuple[int, int]:
    sizes = {file.size for file in files}
    if len(sizes) > 1:
        raise MixedSlicesError(f"expected slices of one size, got {len(sizes)} sizes in one series")
    return files[0].size


def _check_extent(size: tuple[int, int], slices: int, limits: ReadLimits) -> None:
    columns, rows = size
    if columns * rows * slices > limits.max_voxels:
        raise InputTooLargeError(f"expected at most {limits.max_voxels} voxels, got {columns}×{rows}×{slices}")
    if sorted((columns, rows, slices))[1] < limits.min_side:
        raise InputTooSmallError(
            f"expected slices of {limits.min_side}×{limits.min_side} and more, got {columns}×{rows}×{slices}"
        )


def _can_be_referred_to(files: Sequence[ImageFile]) -> bool:
    """Whether other objects can name each of the files, and the one study and frame of reference of all."""
    instances = {file.instance_uid for file in files}
    is_one = len({file.belongs_to for file in files}) == 1 and len(instances) == len(files)
    return is_one and all(file.can_be_referred_to for file in files)
