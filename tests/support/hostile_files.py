"""Files that must be refused, each with the code it ends in."""

import gzip
import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from nibabel import Nifti1Image
from PIL import Image

SHAPE = (32, 32, 8)


def nifti(array: np.ndarray | None = None, affine: np.ndarray | None = None) -> bytes:
    """A small head with something bright in it, as `.nii` bytes."""
    if array is None:
        array = np.zeros(SHAPE, np.int16)
        array[8:24, 8:24] = 100
        array[14:18, 14:18, 3:5] = 1000
    return Nifti1Image(array, np.diag((4.0, 4.0, 4.0, 1.0)) if affine is None else affine).to_bytes()


def changed(position: int, layout: str, *values: float, size: int = 0) -> bytes:
    """The small head with other header bytes, and zeros after it."""
    content = bytearray(nifti())
    struct.pack_into(layout, content, position, *values)
    return bytes(content) + bytes(size)


def dimensions(*dim: int) -> bytes:
    return changed(40, "<8h", *(list(dim) + [1] * 8)[:8])


def picture(mode: str = "L", size: tuple[int, int] = (64, 64), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 0).save(buffer, **({"format": "PNG"} | options))
    return buffer.getvalue()


def picture_of_a_lesion() -> bytes:
    """A small grey slice with one bright spot, as PNG."""
    pixels = np.zeros((64, 64), np.uint8)
    pixels[10:54, 10:54] = 90
    pixels[20:26, 30:36] = 250
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def animation() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("L", (64, 64), grey) for grey in (0, 100, 200)]
    frames[0].save(buffer, format="PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def vast_picture() -> bytes:
    """20,000 × 20,000 pixels of one bit, in some 50 kB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(20_000 * 2501), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def with_nan() -> bytes:
    array = np.ones(SHAPE, np.float32)
    array[3, 3, 3] = np.nan
    return nifti(array)


def singular() -> bytes:
    """An sform whose second and third axis are the same."""
    content = bytearray(nifti())
    struct.pack_into("<2h", content, 252, 0, 1)
    struct.pack_into("<12f", content, 280, 4, 0, 0, 0, 0, 4, 4, 0, 0, 0, 0, 0)
    return bytes(content)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty file": (lambda: b"", "input_empty"),
    "text": (lambda: b"this is no scan at all\n" * 40, "input_format_unknown"),
    "packed text": (lambda: gzip.compress(b"this is no scan at all\n" * 40), "input_format_unknown"),
    "gzip cut within the header": (lambda: gzip.compress(nifti())[:40], "input_format_unknown"),
    "truncated gzip": (lambda: gzip.compress(nifti(), 0)[:4000], "input_damaged"),
    "gzip bomb": (lambda: gzip.compress(dimensions(3, 4096, 4096, 4096) + bytes(64 << 20), 1), "input_too_large"),
    "gzip bomb behind a small image": (lambda: gzip.compress(nifti() + bytes(64 << 20), 1), "input_damaged"),
    "lying dimensions": (lambda: dimensions(3, 400, 400, 200), "input_damaged"),
    "negative dimensions": (lambda: dimensions(3, 32, -32, 8), "input_damaged"),
    "huge dimensions": (lambda: dimensions(3, 32767, 32767, 32767), "input_too_large"),
    "no dimensions": (lambda: dimensions(0), "input_damaged"),
    "4-D": (lambda: nifti(np.ones((*SHAPE, 5), np.int16)), "input_unsupported"),
    "complex": (lambda: nifti(np.ones(SHAPE, np.complex64)), "input_unsupported"),
    "NaN": (with_nan, "input_not_finite"),
    "singular affine": (singular, "input_geometry"),
    "one grey value": (lambda: nifti(np.ones(SHAPE, np.int16)), "input_unsupported"),
    "400 megapixels": (vast_picture, "input_too_large"),
    "one pixel": (lambda: picture(size=(1, 1)), "input_too_small"),
    "animated": (animation, "input_unsupported"),
    "CMYK": (lambda: picture("CMYK", format="JPEG"), "input_unsupported"),
    "truncated png": (lambda: picture()[:60], "input_damaged"),
}  # fmt: skip
