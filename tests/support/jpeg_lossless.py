"""Packs a DICOM image as JPEG lossless (ITU-T T.81, annex H, predictor 1), which no installed package writes."""

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.encaps import encapsulate

BITS = 16
CODE_BITS = 5
"""All 17 categories of differences have codes of this length: short enough, and none is all ones."""


def as_jpeg_lossless(image: Dataset) -> Dataset:
    """The same image of one frame and 16 bits, packed."""
    pixels = np.frombuffer(image.PixelData, "<u2").reshape(image.Rows, image.Columns)
    image.PixelData = encapsulate([_packed(pixels)])
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
    return image


def _packed(pixels: NDArray[np.uint16]) -> bytes:
    counts = [0] * 16
    counts[CODE_BITS - 1] = BITS + 1
    codes = _segment(0xC4, [0, *counts, *range(BITS + 1)])
    frame = _segment(0xC3, [BITS, *divmod(pixels.shape[0], 256), *divmod(pixels.shape[1], 256), 1, 1, 0x11, 0])
    scan = _segment(0xDA, [1, 1, 0, 1, 0, 0])
    return b"\xff\xd8" + frame + codes + scan + _coded(_differences(pixels)) + b"\xff\xd9"


def _segment(marker: int, content: list[int]) -> bytes:
    return bytes([0xFF, marker, *divmod(len(content) + 2, 256), *content])


def _differences(pixels: NDArray[np.uint16]) -> list[int]:
    """From the pixel to the left, at the start of a row from that above, at the very first from half the range."""
    values = pixels.astype(np.int64)
    before = np.empty_like(values)
    before[:, 1:], before[1:, 0], before[0, 0] = values[:, :-1], values[:-1, 0], 1 << (BITS - 1)
    half = 1 << (BITS - 1)
    return ((values - before + half) % (1 << BITS) - half).ravel().tolist()


def _coded(differences: list[int]) -> bytes:
    bits = "".join(map(_code, differences))
    padded = bits + "1" * (-len(bits) % 8)
    packed = int(padded, 2).to_bytes(len(padded) // 8)
    return packed.replace(b"\xff", b"\xff\0")


def _code(difference: int) -> str:
    size = abs(difference).bit_length()
    extra = difference if difference > 0 else difference + (1 << size) - 1
    return f"{size:0{CODE_BITS}b}" + (f"{extra:0{size}b}" if 0 < size < BITS else "")
