"""Pictures of one slice: PNG, JPEG and TIFF, 8 and 16 bit, grey and RGB.

A picture is taken to be one axial slice in radiological display: its left column is the patient's right, its top
row the front. It says nothing of millimetres unless the sender does.
"""

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from metseg.errors import (
    DamagedInputError,
    InputTooLargeError,
    InputTooSmallError,
    NotMrError,
    UnsupportedInputError,
)
from metseg.imaging.limits import ReadLimits
from metseg.imaging.volume import Volume

FORMATS = ("PNG", "JPEG", "TIFF")
GREY_MODES = ("L", "I;16", "I;16L", "I;16B", "I;16N")
EXIF_ORIENTATION = 0x0112
NOT_UPRIGHT = range(2, 9)
"""Values of that tag that ask for a rotation or a flip; EXIF 2.32 knows none but these and 1, so 0, which some
programs write, says nothing."""
PHOTOMETRIC_INTERPRETATION, WHITE_IS_ZERO = 262, 0
TiffImagePlugin.OPEN_INFO.setdefault(
    (b"MM", WHITE_IS_ZERO, (1,), 1, (16,), ()), ("I;16B", "I;16B")
)  # Pillow has it for the other byte order alone
PICTURE_ERRORS = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, RuntimeError, SyntaxError, TypeError, ValueError),
    struct.error,
)
"""What Pillow raises on bytes that are not what they should be, besides an `OSError` without a number."""
COLOURED = 40
"""How far (of 255) the channels of a pixel lie apart where it is coloured."""
MOST_COLOURED = 0.1
"""Share of coloured pixels above which a picture is no grey image. MR slices saved as colour JPEG have none,
photographs a quarter and more (`benchmarks/gatekeeper.py`); between them there is room for marks and rulers."""


def is_picture(start: bytes) -> bool:
    """Whether the first bytes are those of a PNG, JPEG or TIFF (also BigTIFF) file."""
    return start.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))


def read_picture(path: Path, limits: ReadLimits, spacing_mm: tuple[float, float] | None = None) -> Volume:
    """Read a picture as a volume of one slice.

    Args:
        path: The file.
        limits: What may be read at most.
        spacing_mm: Distance between columns (x) and between rows (y); None if unknown.

    Returns:
        (columns, rows, 1) uint8 or uint16. The affine is in mm with `spacing_mm`, else in pixels.

    Raises:
        DamagedInputError: the file breaks off or is no picture after all.
        NotMrError: it is in colour.
        UnsupportedInputError: animated or many pages, palette, CMYK, 32-bit, transparent, or rotated by EXIF.
        InputTooLargeError, InputTooSmallError: outside of the limits.
    """
    pixels = _grey(_decoded(path, limits))
    x_mm, y_mm = spacing_mm or (1.0, 1.0)
    return Volume(np.ascontiguousarray(pixels.T)[:, :, None], np.diag((-x_mm, -y_mm, 1.0, 1.0)))


def write_picture(path: Path, array: NDArray[Any], *, note: str = "") -> None:
    """Write (columns, rows) uint8 or uint16 values as a grey PNG of the same size; the note as for `save_png`."""
    save_png(Image.fromarray(np.ascontiguousarray(array.T)), path, note=note)


def save_png(image: Image.Image, path: Path, *, note: str = "") -> None:
    """Write a PNG, with a note as its `Comment` (PNG 3rd edition, section 11.3.3.1)."""
    texts = PngInfo()
    if note:
        texts.add_text("Comment", note)
    image.save(path, format="PNG", pnginfo=texts)


def _decoded(path: Path, limits: ReadLimits) -> Image.Image:
    damaged = "expected a whole PNG, JPEG or TIFF picture, but it is damaged"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check(image, limits)
                image.load()
                return image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise InputTooLargeError(f"expected at most {limits.max_pixels} pixels, the picture has more") from exc
    except PICTURE_ERRORS as exc:
        raise DamagedInputError(damaged) from exc
    except OSError as exc:
        if exc.errno is not None:  # this machine's fault
            raise
        raise DamagedInputError(damaged) from exc


def _check(image: Image.Image, limits: ReadLimits) -> None:
    width, height = image.size
    if width * height > limits.max_pixels:
        raise InputTooLargeError(f"expected at most {limits.max_pixels} pixels, got {width}×{height}")
    if min(width, height) < limits.min_side:
        raise InputTooSmallError(
            f"expected {limits.min_side}×{limits.min_side} pixels and more, got {width}×{height}"
        )
    if getattr(image, "n_frames", 1) > 1:
        raise UnsupportedInputError("expected one picture, got several in one file (an animation or pages)")
    if image.getexif().get(EXIF_ORIENTATION, 1) in NOT_UPRIGHT:
        raise UnsupportedInputError("expected an upright picture, but its EXIF data asks for a rotation")


def _check_colours(image: Image.Image) -> None:
    pixels = np.asarray(image)
    spread = pixels.max(axis=2) - pixels.min(axis=2)
    if (spread > COLOURED).mean() > MOST_COLOURED:
        raise NotMrError("expected a grey slice of an MR scan, got a picture in colour, such as a photograph")


def _grey(image: Image.Image) -> NDArray[Any]:
    """Rows × columns, uint8 or uint16."""
    if image.mode in ("RGBA", "LA"):
        if image.getchannel("A").getextrema() != (255, 255):
            raise UnsupportedInputError("expected an opaque picture, but parts of it are transparent")
        image = image.convert(image.mode[:-1])
    if image.mode == "RGB":
        _check_colours(image)
        image = image.convert("L")
    if image.mode not in GREY_MODES:
        raise UnsupportedInputError(f"expected grey or RGB pixels of 8 or 16 bits, got mode {image.mode}")
    pixels = np.asarray(image)
    if pixels.dtype.itemsize == 1:
        return pixels.astype(np.uint8)
    return pixels.astype(np.uint16) ^ np.uint16(0xFFFF if _is_white_zero(image) else 0)


def _is_white_zero(image: Image.Image) -> bool:
    """Whether 0 is white in a TIFF (TIFF 6.0, section 3); Pillow inverts such pixels of 8 bits, but not of 16."""
    tags = getattr(image, "tag_v2", {})
    return bool(tags.get(PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO)
