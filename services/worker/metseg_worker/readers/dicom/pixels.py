"""Decodes the pixels of DICOM slices, after what a packed frame says of its size was compared with the header.

A decoder allocates what the frame's own header asks for, so that a few bytes could ask for gigabytes (seen with
JPEG 2000 and RLE); the sizes are read first (ITU-T T.81, B.2.2; T.87, C.2.2; T.800, A.5.1).
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder

from metseg.errors import DamagedInputError
from metseg_worker.readers.dicom.files import read_elements, transfer_syntax_of
from metseg_worker.readers.dicom.headers import PIXELS, blaming_the_file
from metseg_worker.readers.dicom.planes import Plane

JPEG_START: Final = b"\xff\xd8"
JPEG2000_START: Final = b"\xff\x4f\xff\x51"
JPEG_SIZES: Final = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""Second bytes of the markers SOF0 to SOF15, and of JPEG-LS's SOF55."""


def decode(planes: Sequence[Plane], size: tuple[int, int]) -> NDArray[Any]:
    """Decode slices that share a size.

    Args:
        planes: In the order of axis 2.
        size: Columns and rows, as the headers tell.

    Returns:
        (columns, rows from the last to the first, slices); stored integers as they are, or float32 where a slice
        is scaled.

    Raises:
        DamagedInputError: pixels are missing, damaged, or of another size than the header's.
    """
    is_scaled = any((plane.slope, plane.intercept) != (1.0, 0.0) for plane in planes)
    volume: NDArray[Any] | None = None
    for index, plane, pixels in _slices(planes):
        if pixels.shape != size[::-1]:
            raise DamagedInputError("expected pixels of the size that the header tells, got another")
        if volume is None:
            volume = np.empty((*size, len(planes)), np.float32 if is_scaled else pixels.dtype)
        if pixels.dtype != volume.dtype and not is_scaled:
            raise DamagedInputError("expected slices of one type of pixels, got several")
        values = pixels * plane.slope + plane.intercept if is_scaled else pixels
        volume[:, :, index] = values[::-1].T
    if volume is None:
        raise DamagedInputError("expected a slice at least, got none")
    return volume


def _slices(planes: Sequence[Plane]) -> Iterator[tuple[int, Plane, NDArray[Any]]]:
    """Each slice with its place on axis 2, file by file, so that a file of many frames is opened once."""
    by_file = sorted(enumerate(planes), key=lambda pair: (pair[1].path, pair[1].frame))
    for path, group in groupby(by_file, key=lambda pair: pair[1].path):
        pairs = list(group)
        frames = _frames(path, [plane.frame for _, plane in pairs])
        for (index, plane), pixels in zip(pairs, frames, strict=True):
            yield index, plane, pixels


def _frames(path: Path, numbers: list[int]) -> Iterator[NDArray[Any]]:
    """The wanted frames of a file, rows × columns, in the machine's byte order."""
    with blaming_the_file("expected whole pixels in a DICOM file, but they are missing or damaged"):
        image = read_elements(path, [*PIXELS, "PixelData", "ExtendedOffsetTable"], with_pixels=True)
        syntax = transfer_syntax_of(path)
        if syntax.is_compressed:
            _check_sizes(image, syntax)
        unused = int(image.BitsAllocated) - int(image.BitsStored)
        for pixels, _ in get_decoder(syntax).iter_array(image, indices=numbers, raw=True):
            yield _without_unused(pixels, unused)


def _without_unused(pixels: NDArray[Any], unused: int) -> NDArray[Any]:
    """Clear bits beyond `BitsStored`, in which old files keep overlays, and let the sign reach into them."""
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return native << unused >> unused if unused else native


def _check_sizes(image: Dataset, syntax: uid.UID) -> None:
    """Raise where a packed frame is of another size than the header says."""
    count = int(image.get("NumberOfFrames") or 1)
    wanted = (int(image.Rows), int(image.Columns), 1)
    for frame in generate_frames(image.PixelData, number_of_frames=count):
        if syntax != uid.RLELossless and _coded_size(frame) != wanted:
            raise DamagedInputError("expected packed pixels of the size that the header tells, got another")


def _coded_size(frame: bytes) -> tuple[int, int, int]:
    """Rows, columns and components of a JPEG, JPEG-LS or JPEG 2000 frame; zeros where it does not tell."""
    if frame.startswith(JPEG2000_START):
        right, bottom, left, top = (int.from_bytes(frame[at : at + 4]) for at in (8, 12, 16, 20))
        return bottom - top, right - left, int.from_bytes(frame[40:42])
    at = len(JPEG_START) if frame.startswith(JPEG_START) else len(frame)
    while at + 10 <= len(frame) and frame[at] == 0xFF:
        if frame[at + 1] in JPEG_SIZES:
            return int.from_bytes(frame[at + 5 : at + 7]), int.from_bytes(frame[at + 7 : at + 9]), frame[at + 9]
        at += 2 + int.from_bytes(frame[at + 2 : at + 4])
    return 0, 0, 0
