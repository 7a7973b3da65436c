"""Files made to hurt their readers: lying headers, bombs, loops; each with the code that refuses it.

`hostile_files` holds those that go through the whole worker; these are read where they would hurt.
"""

import gzip
import pickle
import struct
import zlib
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
from hostile_files import changed, dimensions, nifti, picture
from nibabel import Nifti2Image

NAN, INFINITE = float("nan"), float("inf")
VOXEL_TYPES = {"one bit": 1, "RGB": 128, "RGBA": 2304, "complex of 128 bits": 1792, "complex of 256 bits": 2048}
ZEROS = bytes(64 << 20)


def typed(code: int) -> bytes:
    return changed(70, "<h", code)


def without_forms(*pixdim: float) -> bytes:
    """The head with no position in space but its spacing."""
    content = bytearray(changed(252, "<2h", 0, 0))
    struct.pack_into("<3f", content, 80, *pixdim)
    return bytes(content)


def by_quaternion(*numbers: float) -> bytes:
    content = bytearray(changed(252, "<2h", 1, 0))
    struct.pack_into("<6f", content, 256, *numbers)
    return bytes(content)


def nifti_2(*dim: int) -> bytes:
    content = bytearray(Nifti2Image(np.ones((32, 32, 8), np.int16), np.eye(4)).to_bytes())
    struct.pack_into("<8q", content, 16, *(list(dim) + [1] * 8)[:8])
    return bytes(content)


def extended(claimed_bytes: int) -> bytes:
    """The head with an extension of 16 bytes that claims to have more."""
    plain = changed(108, "<f", 368.0)
    return plain[:348] + b"\1\0\0\0" + struct.pack("<2i", claimed_bytes, 6) + b"comment\0" + plain[352:]


def gzip_named(name_bytes: int) -> bytes:
    """A gzip member whose header holds a name of that length."""
    packed = gzip.compress(nifti(), mtime=0)
    return packed[:3] + b"\x08" + packed[4:10] + b"n" * name_bytes + b"\0" + packed[10:]


def png(*chunks: tuple[bytes, bytes], size: tuple[int, int] = (64, 64)) -> bytes:
    header = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        body = kind + data
        parts.append(struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body)))
    return b"".join(parts)


def pixels(rows: int = 64, columns: int = 64) -> tuple[bytes, bytes]:
    return b"IDAT", zlib.compress(bytes(rows * (columns + 1)), 1)


def jpeg_of(width: int, height: int) -> bytes:
    content = bytearray(picture(format="JPEG"))
    at = content.index(b"\xff\xc0")
    struct.pack_into(">2H", content, at + 5, height, width)
    return bytes(content)


def tiff(*entries: tuple[int, int, int, int], next_at: int = 0) -> bytes:
    """One page with these entries (tag, type, count, value) besides those of 64 × 64 grey pixels in one strip."""
    strip = ((273, 4, 1, 1024), (278, 4, 1, 64), (279, 4, 1, 64 * 64))
    return tiff_page((*strip, *entries), next_at)


def tiled(side: int) -> bytes:
    """A page of 64 × 64 pixels in one tile of that side."""
    return tiff_page(((322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 1024), (325, 4, 1, 64 * 64)), 0)


def tiff_page(entries: Iterable[tuple[int, int, int, int]], next_at: int) -> bytes:
    told = {256: (3, 1, 64), 257: (3, 1, 64), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 277: (3, 1, 1)}
    told |= {tag: (kind, count, value) for tag, kind, count, value in entries}
    listed = b"".join(struct.pack("<HHII", tag, *rest) for tag, rest in sorted(told.items()))
    page = struct.pack("<H", len(told)) + listed + struct.pack("<I", next_at)
    return (b"II*\0" + struct.pack("<I", 8) + page).ljust(1024, b"\0") + bytes(64 * 64)


NIFTI: dict[str, tuple[Callable[[], bytes], str]] = {
    "voxels at NaN": (lambda: changed(108, "<f", NAN), "input_damaged"),
    "voxels at infinity": (lambda: changed(108, "<f", INFINITE), "input_damaged"),
    "voxels before the header": (lambda: changed(108, "<f", -352.0), "input_damaged"),
    "voxels behind the file": (lambda: changed(108, "<f", 1e7), "input_damaged"),
    "spacing of zero": (lambda: without_forms(0, 0, 0), "input_geometry"),
    "spacing of NaN": (lambda: without_forms(NAN, 1, 1), "input_geometry"),
    "spacing of infinity": (lambda: without_forms(INFINITE, 1, 1), "input_geometry"),
    "a place of NaN": (lambda: changed(280, "<12f", *[NAN] * 12), "input_geometry"),
    "a place beyond all numbers": (lambda: changed(280, "<12f", *[3e38] * 12), "input_geometry"),
    "a quaternion of NaN": (lambda: by_quaternion(*[NAN] * 6), "input_geometry"),
    "a quaternion longer than one": (lambda: by_quaternion(9, 9, 9, 0, 0, 0), "input_geometry"),
    "no voxel type": (lambda: typed(0), "input_unsupported"),
    "an unknown voxel type": (lambda: typed(77), "input_damaged"),
    "eight dimensions": (lambda: dimensions(8, 2, 2, 2, 2, 2, 2, 2), "input_damaged"),
    "minus one dimension": (lambda: dimensions(-1, 32, 32, 8), "input_damaged"),
    "a vector in each voxel": (lambda: dimensions(5, 32, 32, 8, 1, 3), "input_unsupported"),
    "2^62 voxels a side": (lambda: nifti_2(3, 1 << 62, 1 << 62, 1 << 62), "input_too_large"),
    "-2^62 voxels a side": (lambda: nifti_2(3, -(1 << 62), 32, 8), "input_damaged"),
    "a header of another length": (lambda: changed(0, "<i", 347), "input_format_unknown"),
    "the header of a pair": (lambda: changed(344, "<4s", b"ni1\0"), "input_unsupported"),
    "a header alone": (lambda: nifti()[:348], "input_damaged"),
    "half a header": (lambda: nifti()[:347], "input_format_unknown"),
}  # fmt: skip
NIFTI |= {f"voxels of {name}": (partial(typed, code), "input_unsupported") for name, code in VOXEL_TYPES.items()}

GZIP: dict[str, tuple[Callable[[], bytes], str]] = {
    "a gzip in a gzip": (lambda: gzip.compress(gzip.compress(nifti())), "input_format_unknown"),
    "a bomb as second member": (lambda: gzip.compress(nifti()) + gzip.compress(ZEROS, 1), "input_damaged"),
    "a thousand members": (lambda: gzip.compress(nifti()) + gzip.compress(bytes(2000)) * 1000, "input_damaged"),
    "another method than deflate": (lambda: b"\x1f\x8b\x07" + gzip.compress(nifti())[3:], "input_format_unknown"),
    "a wrong length at the end": (lambda: gzip.compress(nifti())[:-4] + bytes(4), "input_damaged"),
    "a name of four megabytes": (lambda: gzip_named(4 << 20), "input_format_unknown"),
    "a magic number alone": (lambda: b"\x1f\x8b", "input_format_unknown"),
}  # fmt: skip

PICTURES: dict[str, tuple[Callable[[], bytes], str]] = {
    "PNG without pixels": (lambda: png(), "input_damaged"),
    "PNG of no width": (lambda: png(pixels(), size=(0, 64)), "input_damaged"),
    "PNG of 2^31 columns": (lambda: png(pixels(), size=((1 << 31) - 1, 64)), "input_too_large"),
    "PNG with a text bomb": (lambda: png((b"zTXt", b"k\0\0" + zlib.compress(ZEROS)), pixels()), "input_damaged"),
    "PNG with a wrong sum": (lambda: png(pixels()).replace(b"IDATx", b"IDATy"), "input_damaged"),
    "JPEG of 4 gigapixels": (lambda: jpeg_of(65535, 65535), "input_too_large"),
    "JPEG of no height": (lambda: jpeg_of(64, 0), "input_damaged"),
    "TIFF of 2^32 columns": (lambda: tiff((256, 4, 1, (1 << 32) - 1)), "input_too_large"),
    "TIFF with its strip behind the end": (lambda: tiff((273, 4, 1, (1 << 32) - 1)), "input_damaged"),
    "TIFF with vast tiles": (lambda: tiled(1 << 30), "input_damaged"),
    "TIFF with 2^31 bits a pixel": (lambda: tiff((258, 4, 1, 1 << 31)), "input_damaged"),
    "TIFF with a list of 4 GB": (lambda: tiff((258, 3, (1 << 31) - 1, 8)), "input_unsupported"),
    "TIFF without entries": (lambda: b"II*\0\x08\0\0\0\0\0\0\0\0\0", "input_damaged"),
    "TIFF whose list is nowhere": (lambda: b"II*\0\xff\xff\xff\xff", "input_damaged"),
    "BigTIFF whose list is nowhere": (lambda: b"II+\0\x08\0\0\0" + b"\xff" * 8, "input_damaged"),
}  # fmt: skip

HARMLESS: dict[str, Callable[[], bytes]] = {
    "an extension that claims a gigabyte": lambda: extended(1 << 30),
    "PNG that ends its pixels early": lambda: png(pixels(rows=3)),
    "TIFF with a strip of 4 GB": lambda: tiff((279, 4, 1, (1 << 32) - 1)),
    "TIFF whose pages go in a circle": lambda: tiff(next_at=8),
}
"""What lies without harm: the lie is not looked at, and what is missing is black."""

OTHERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "pickle": (lambda: pickle.dumps({"a": 1}), "input_format_unknown"),
    "npy of objects": (lambda: b"\x93NUMPY\x01\x00" + pickle.dumps([None]), "input_format_unknown"),
    "HTML": (lambda: b"<!doctype html><script>alert(1)</script>", "input_format_unknown"),
    "SVG": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "input_format_unknown"),
    "PDF": (lambda: b"%PDF-1.7\n", "input_format_unknown"),
    "program": (lambda: b"\x7fELF" + bytes(400), "input_format_unknown"),
    "GIF": (lambda: picture(format="GIF"), "input_format_unknown"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", "input_format_unknown"),
}  # fmt: skip
