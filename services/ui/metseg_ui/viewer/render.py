"""Slices as RGB pictures: window, mask as outline or fill, numbers, letters, scale. Arrays in, arrays out.

A slice is `(rows, columns)`; a picture is `(rows, columns, 3)` uint8.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from metseg_ui.viewer.planes import Edges

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

CANVAS = (720, 900)  # rows, columns
LESION: Colour = (255, 84, 44)
CHOSEN: Colour = (0, 214, 255)
INK: Colour = (214, 224, 232)
LINE_PX = 3
MARGIN_PX = 34
SCALE_BARS_MM = (100, 50, 20, 10, 5, 2, 1)


class MaskStyle(StrEnum):
    """How the lesions are shown."""

    OUTLINE = "outline"
    FILL = "fill"
    OFF = "off"


@dataclass(frozen=True)
class Look:
    """How a slice is to be shown.

    Attributes:
        centre: grey value shown half bright.
        width: grey values from black to white.
        mask: how the lesions are shown.
        opacity: of the lesions' colour, 0–1.
        chosen: label of the lesion that stands out; None for none.
    """

    centre: float
    width: float
    mask: MaskStyle = MaskStyle.OUTLINE
    opacity: float = 1.0
    chosen: int | None = None


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice as it is to be seen.

    Attributes:
        pixels: (rows, columns) grey values.
        labels: (rows, columns) number of the lesion in each pixel, 0 where there is none.
        pixel_mm: distance between rows and between columns; for a picture of unknown size their ratio counts.
        edges: letters at the edges; None where the sides are not known.
        has_spacing: whether `pixel_mm` really is in millimetres.
    """

    pixels: NDArray[Any]
    labels: NDArray[Any]
    pixel_mm: tuple[float, float]
    edges: Edges | None
    has_spacing: bool


def draw(view: Slice, look: Look, canvas: tuple[int, int] = CANVAS) -> Pixels:
    """The slice as large as it fits on a black canvas (rows, columns), in its true proportions."""
    size, scale = fitted_size(view.pixels.shape, view.pixel_mm, canvas)
    labels = _resized(view.labels.astype(np.int32), size, Image.Resampling.NEAREST)
    grey = windowed(_resized(view.pixels.astype(np.float32), size, Image.Resampling.BILINEAR), look)
    picture = coloured(grey, labels, look)
    if look.mask is not MaskStyle.OFF:
        picture = numbered(picture, labels, look.chosen)
    return _framed(picture, view, scale, canvas)


def fitted_size(
    shape: tuple[int, ...], pixel_mm: tuple[float, float], canvas: tuple[int, int]
) -> tuple[tuple[int, int], float]:
    """Rows and columns on the screen, and screen pixels per mm, inside the canvas less its margin."""
    height_mm, width_mm = shape[0] * pixel_mm[0], shape[1] * pixel_mm[1]
    scale = min((canvas[0] - 2 * MARGIN_PX) / height_mm, (canvas[1] - 2 * MARGIN_PX) / width_mm)
    return (max(round(height_mm * scale), 1), max(round(width_mm * scale), 1)), scale


def windowed(pixels: NDArray[Any], look: Look) -> Pixels:
    """Grey values to 0…255: black at `centre - width/2` and below, white at `centre + width/2` and above."""
    low = look.centre - look.width / 2
    shown = (pixels.astype(np.float32) - low) * (255 / max(look.width, 1e-9))
    grey: Pixels = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
    return grey


def inside(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Lesion pixels whose four neighbours belong to the same lesion; none at the border of the slice."""
    kept = labels > 0
    for axis in (0, 1):
        for step in (-1, 1):
            neighbour = np.roll(labels, step, axis=axis)
            edge = [slice(None), slice(None)]
            edge[axis] = slice(0, 1) if step == 1 else slice(-1, None)
            neighbour[tuple(edge)] = 0
            kept &= neighbour == labels
    return kept


def outline(labels: NDArray[Any], line_px: int = LINE_PX) -> NDArray[np.bool_]:
    """The outermost `line_px` pixels of each lesion."""
    core = labels
    for _ in range(line_px):
        core = np.where(inside(core), core, 0)
    line: NDArray[np.bool_] = (labels > 0) & (core == 0)
    return line


def coloured(grey: Pixels, labels: NDArray[Any], look: Look) -> Pixels:
    """RGB picture with the lesions in colour, mixed in by `look.opacity`; the chosen one in its own."""
    picture = np.repeat(grey[:, :, None], 3, axis=2)
    if look.mask is MaskStyle.OFF:
        return picture
    where = outline(labels) if look.mask is MaskStyle.OUTLINE else labels > 0
    for colour, part in ((LESION, labels != look.chosen), (CHOSEN, labels == look.chosen)):
        spot = where & part
        mixed = picture[spot] * (1 - look.opacity) + np.array(colour) * look.opacity
        picture[spot] = np.rint(mixed).astype(np.uint8)
    return picture


def numbered(picture: Pixels, labels: NDArray[Any], chosen: int | None = None) -> Pixels:
    """The picture with each lesion's number beside it."""
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(26)
    for label in np.unique(labels[labels > 0]):
        rows, columns = np.nonzero(labels == label)
        x = min(int(columns.max()) + 4, picture.shape[1] - 30)
        y = max(int(rows.min()) - 26, 2)
        colour = CHOSEN if label == chosen else LESION
        pen.text((x, y), str(label), fill=(0, 0, 0), font=font, stroke_width=4)
        pen.text((x, y), str(label), fill=colour, font=font, stroke_width=1)
    return np.asarray(image)


def _framed(picture: Pixels, view: Slice, scale: float, canvas: tuple[int, int]) -> Pixels:
    board = Image.new("RGB", (canvas[1], canvas[0]))
    left, top = (canvas[1] - picture.shape[1]) // 2, (canvas[0] - picture.shape[0]) // 2
    board.paste(Image.fromarray(picture), (left, top))
    pen = ImageDraw.Draw(board)
    if view.edges is not None:
        _letters(pen, view.edges, (left, top, left + picture.shape[1], top + picture.shape[0]))
    if view.has_spacing:
        _scale_bar(pen, scale, canvas)
    return np.asarray(board)


def _letters(pen: ImageDraw.ImageDraw, edges: Edges, box: tuple[int, int, int, int]) -> None:
    font = ImageFont.load_default(24)
    left, top, right, bottom = box
    middle, half = (left + right) / 2, (top + bottom) / 2
    gap = MARGIN_PX / 2
    places = ((left - gap, half), (right + gap, half), (middle, top - gap), (middle, bottom + gap))
    for letter, place in zip(edges, places, strict=True):
        pen.text(place, letter, fill=INK, font=font, anchor="mm", stroke_width=2, stroke_fill=(0, 0, 0))


def _scale_bar(pen: ImageDraw.ImageDraw, scale: float, canvas: tuple[int, int]) -> None:
    """The longest round length below a fifth of the canvas, at the lower left."""
    length_mm = next((mm for mm in SCALE_BARS_MM if mm * scale <= canvas[1] / 5), SCALE_BARS_MM[-1])
    y, start = canvas[0] - 18, 18
    end = start + length_mm * scale
    pen.line((start, y, end, y), fill=INK, width=2)
    for x in (start, end):
        pen.line((x, y - 5, x, y + 5), fill=INK, width=2)
    text = f"{length_mm} mm"
    pen.text((start, y - 10), text, fill=INK, font=ImageFont.load_default(16), anchor="ls")


def _resized(pixels: NDArray[Any], size: tuple[int, int], how: Image.Resampling) -> NDArray[Any]:
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), how))
