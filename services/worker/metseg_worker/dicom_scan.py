"""From DICOM files to a scan."""

from collections.abc import Sequence
from pathlib import Path

from metseg.errors import InputTooLargeError, InputTooSmallError, NotMrError, UnknownFormatError
from metseg.limits import ReadLimits
from metseg.nifti import geometry_of
from metseg.scan import Scan, ScanKind, SourceSlice
from metseg.series_errors import MixedSlicesError
from metseg.volume import Volume
from metseg_worker.dicom_choice import choose_series
from metseg_worker.dicom_grid import affine_of, ordered
from metseg_worker.dicom_headers import ImageFile, OtherFile, read_header
from metseg_worker.dicom_pixels import decode
from metseg_worker.gatekeeper import check_series


def read_dicom(paths: Sequence[Path], series_uid: str | None, limits: ReadLimits) -> Scan:
    """Read one series of magnetic resonance images.

    Args:
        paths: DICOM files of one or more series, in any order, among which may be files without images.
        series_uid: The series that was asked for; None leaves the choice to the headers.
        limits: What may be read at most.

    Raises:
        InputError: the narrowest class that fits; see `metseg.series_errors` for a series that is not sound.
    """
    headers = [read_header(path) for path in paths]
    files = [header for header in headers if isinstance(header, ImageFile)]
    if not files:
        raise _no_images([header for header in headers if isinstance(header, OtherFile)])
    series, warnings = choose_series(files, series_uid)
    warnings += check_series(series)
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
    modalities = sorted({other.modality for other in others} - {"", "MR"})
    if modalities:
        return NotMrError(f"expected MR images, got DICOM files of modality {', '.join(modalities)}")
    return UnknownFormatError("expected DICOM images of an MR scanner, got DICOM files without any")


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
