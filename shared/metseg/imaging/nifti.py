"""NIfTI-1 and NIfTI-2 single files (`.nii`, `.nii.gz`), read within limits and written on the source grid.

The header is checked before a voxel is read, and never more is unpacked than the header declares, so a file
cannot make the reader allocate what it does not hold. Field names follow the NIfTI-1 standard (nifti1.h).
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from nibabel import Nifti1Header, Nifti1Image, Nifti2Header, Nifti2Image
from nibabel.nifti1 import Nifti1Extension
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from metseg.errors import (
    DamagedInputError,
    GeometryError,
    InputTooLargeError,
    InputTooSmallError,
    UnknownFormatError,
    UnsupportedInputError,
)
from metseg.imaging.limits import ReadLimits
from metseg.imaging.nifti_geometry import Header, affine_mm, is_placed, mended, placement_warnings
from metseg.imaging.volume import Volume

GZIP_MAGIC = b"\x1f\x8b"
HEADER_BYTES = {1: 348, 2: 540}
LARGEST_VOX_OFFSET = 16 << 20
MOST_TRAILING_BYTES = 1 << 20
GEOMETRY_FIELDS = (
    *("dim", "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)
FILLED = "Voxels around the head that hold no value (NaN) were read as 0."


def is_nifti(start: bytes) -> bool:
    """Whether the first 540 (unpacked) bytes of a file are a NIfTI header of either version and byte order."""
    return _version(start) is not None


def read_nifti(path: Path, limits: ReadLimits) -> tuple[Volume, bytes, tuple[str, ...]]:
    """Read a 3-D NIfTI file.

    Args:
        path: The file; whether it is compressed is read from its content.
        limits: What may be read at most.

    Returns:
        The volume in its stored axis order (8- and 16-bit integers as they are, all else float32; 0 where there is
        NaN around the head), the header's geometry alone, mended, as bytes for `write_nifti`, and warnings for the
        report.

    Raises:
        UnknownFormatError: there is no NIfTI header.
        DamagedInputError: the header contradicts itself or the file breaks off.
        UnsupportedInputError: 4-D, complex or colour voxels, or a header without its image.
        InputTooLargeError, InputTooSmallError: outside of the limits.
        GeometryError: no position in space can be computed, or the image is metres in size.
        NotFiniteError: a voxel within the image is NaN, or one is infinite.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        stream: IO[bytes] = gzip.open(raw) if packed else raw  # type: ignore[assignment]  # a GzipFile reads alike
        with stream:
            try:
                return _read(stream, limits)
            except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
                raise DamagedInputError("expected a whole gzip file, but it breaks off or is damaged") from exc


def write_nifti(path: Path, volume: Volume, header: bytes | None = None, *, note: str = "") -> None:
    """Write a volume as `.nii.gz`; equal input gives equal bytes.

    Args:
        path: Where to write.
        volume: Its array's type is kept (bool becomes uint8).
        header: Geometry from `read_nifti`: shape, sform, qform, their codes and the units are taken over to the
            bit. Without it the affine is written as a scanner sform in mm.
        note: Travels with the file as a comment (NIfTI-1 extension of code 6).

    Raises:
        GeometryError: the array does not have the header's shape.
    """
    array = volume.array.astype(np.uint8) if volume.array.dtype == bool else volume.array
    if header is None:
        image: Nifti1Image = Nifti1Image(array, volume.affine)
        image.header.set_xyzt_units("mm")
    else:
        source = _parse(header)
        shape = source.get_data_shape()
        if math.prod(shape) != array.size or shape[:3] != array.shape[: len(shape[:3])]:
            raise GeometryError(f"expected an array of shape {shape}, got {array.shape}")
        kind: type[Nifti1Image] = Nifti2Image if isinstance(source, Nifti2Header) else Nifti1Image
        image = kind(array.reshape(shape), None, header=source)
    image.set_data_dtype(array.dtype)
    if note:
        image.header.extensions.append(Nifti1Extension("comment", note.encode()))
    with path.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as stream:
        stream.write(image.to_bytes())


def knows_place(header: bytes) -> bool:
    """Whether a geometry from `read_nifti` or `geometry_of` says where left and right are."""
    return is_placed(_parse(header))


def geometry_of(volume: Volume) -> bytes:
    """The geometry of a volume that came from elsewhere, for `write_nifti`.

    The affine stands in the sform and, without shear, in the qform, both with the code for scanner coordinates.
    """
    header = Nifti1Header()
    header.set_data_shape(volume.shape)
    header.set_xyzt_units("mm")
    header.set_qform(volume.affine, code="scanner")
    header.set_sform(volume.affine, code="scanner")
    return bytes(_geometry_only(header).binaryblock)


def _read(stream: IO[bytes], limits: ReadLimits) -> tuple[Volume, bytes, tuple[str, ...]]:
    start = stream.read(HEADER_BYTES[1])
    if _version(start) == 2:
        start += stream.read(HEADER_BYTES[2] - HEADER_BYTES[1])
    header = _parse(start)
    shape = _checked_shape(header, limits)
    dtype = _checked_dtype(header)
    _skip_to_voxels(stream, header, len(start))
    array = _read_voxels(stream, shape, dtype)
    _expect_end(stream)
    placed = mended(header)
    affine, warnings = affine_mm(placed, shape), placement_warnings(placed, header)
    array, has_filled = _without_nan(_scaled(array, header))
    return Volume(array, affine), _geometry_only(placed).binaryblock, (*warnings, *[FILLED] * has_filled)


def _version(start: bytes) -> int | None:
    for version, (offset, magics) in {1: (344, (b"n+1\0", b"ni1\0")), 2: (4, (b"n+2\0", b"ni2\0"))}.items():
        size = HEADER_BYTES[version]
        if (
            start[:4] in (size.to_bytes(4, "little"), size.to_bytes(4, "big"))
            and start[offset : offset + 4] in magics
        ):
            return version
    return None


def _parse(start: bytes) -> Header:
    version = _version(start)
    if version is None:
        raise UnknownFormatError("expected a NIfTI header (n+1 or n+2), but there is none")
    if len(start) < HEADER_BYTES[version]:
        raise DamagedInputError(f"expected a header of {HEADER_BYTES[version]} bytes, got {len(start)}")
    kind: type[Header] = Nifti2Header if version == 2 else Nifti1Header
    try:
        header: Header = kind(start, check=False)
    except (WrapStructError, HeaderDataError, ValueError) as exc:
        raise DamagedInputError("the NIfTI header is damaged") from exc
    if bytes(header["magic"])[:2] == b"ni":
        raise UnsupportedInputError("expected header and image in one file, got the header of a pair")
    return header


def _checked_shape(header: Header, limits: ReadLimits) -> tuple[int, int, int]:
    dim = [int(value) for value in header["dim"]]
    if not 1 <= dim[0] <= 7:
        raise DamagedInputError(f"expected 1 to 7 dimensions, the header says {dim[0]}")
    sizes = dim[1 : dim[0] + 1]
    if any(size < 1 for size in sizes):
        raise DamagedInputError(f"expected dimensions of 1 and more, the header says {sizes}")
    if any(size > 1 for size in sizes[3:]):
        raise UnsupportedInputError(
            f"expected one 3-D volume, got {len(sizes)}-D with {math.prod(sizes[3:])} volumes; send one of them"
        )
    x, y, z = (*sizes[:3], 1, 1)[:3]
    if x * y * z > limits.max_voxels:
        raise InputTooLargeError(f"expected at most {limits.max_voxels} voxels, the header says {x}×{y}×{z}")
    if sorted((x, y, z))[1] < limits.min_side:
        raise InputTooSmallError(
            f"expected slices of {limits.min_side}×{limits.min_side} and more, got {x}×{y}×{z}"
        )
    return x, y, z


def _checked_dtype(header: Header) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(header.get_data_dtype())
    except (HeaderDataError, KeyError) as exc:
        raise DamagedInputError("the header names a voxel type that NIfTI does not have") from exc
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        raise UnsupportedInputError(f"expected real grey values, got voxels of type {dtype}")
    return dtype


def _skip_to_voxels(stream: IO[bytes], header: Header, position: int) -> None:
    offset = float(header["vox_offset"])
    if not (math.isfinite(offset) and position <= offset <= LARGEST_VOX_OFFSET):
        raise DamagedInputError("the header's vox_offset lies outside of the file")
    rest = int(offset) - position
    if len(stream.read(rest)) != rest:
        raise DamagedInputError("the file breaks off before its voxels")


def _read_voxels(stream: IO[bytes], shape: tuple[int, int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Read piece by piece, so that a header that promises too much costs only what the file holds."""
    expected = math.prod(shape) * dtype.itemsize
    pieces = bytearray()
    while len(pieces) < expected:
        piece = stream.read(min(expected - len(pieces), 1 << 24))
        if not piece:
            raise DamagedInputError(f"expected {expected} bytes of voxels, the file holds {len(pieces)}")
        pieces += piece
    return np.frombuffer(pieces, dtype).reshape(shape, order="F")


def _expect_end(stream: IO[bytes]) -> None:
    """Read to the end, so that gzip checks its sum; a little padding is forgiven."""
    if len(stream.read(MOST_TRAILING_BYTES + 1)) > MOST_TRAILING_BYTES:
        raise DamagedInputError("the file holds more than its header says")


def _scaled(array: NDArray[Any], header: Header) -> NDArray[Any]:
    try:
        slope, inter = header.get_slope_inter()
    except HeaderDataError as exc:
        raise DamagedInputError("the header's scaling (scl_slope, scl_inter) is not finite") from exc
    if slope is not None and (slope, inter) != (1.0, 0.0):
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(array.astype(np.float64) * slope + inter, dtype=np.float32)
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2:
        return array.astype(array.dtype.newbyteorder("="))
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(np.float32)


def _without_nan(array: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """Put 0 where programs that cut out or turn a head leave NaN: in what hangs together with the box's edges.

    Returns:
        The array, and whether it held such voxels; a NaN anywhere else is left for `Volume` to refuse.
    """
    absent = np.isnan(array) if array.dtype.kind == "f" else np.zeros(0, bool)
    if not absent.any():
        return array, False
    from scipy import ndimage  # for such files alone

    at_side = np.zeros(array.shape, np.uint8)
    for axis in range(3):
        np.moveaxis(at_side, axis, 0)[[0, -1]] += 1
    outside = ndimage.binary_propagation(absent & (at_side >= 2), mask=absent)
    return np.where(outside, np.float32(0), array), True


def _geometry_only(header: Header) -> Header:
    """A new header with the geometry alone: no texts, no extensions, no scaling."""
    clean: Header = type(header)()
    for field in GEOMETRY_FIELDS:
        clean[field] = header[field]
    return clean
