"""Draws `overlay.png`: every lesion in the slice where it was measured, outlined, numbered, with its diameters.

Slices are shown as a radiologist reads them: seen from the feet, the patient's left on the right of the picture,
the front up, millimetres equally long in both directions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from metseg.imaging.picture import save_png
from metseg.imaging.scan import Scan
from metseg.inference.segment import Segmentation
from metseg.schemas.report import Report
from metseg_worker.outputs.report import note_of
from metseg_worker.outputs.slice_views import Tile, View, corner_points, outline

MOST_TILES: Final = 36
EMPTY_TILES: Final = 6
TILE_PX: Final = ((1, 760), (2, 560), (4, 480), (6, 420), (12, 340), (MOST_TILES, 300))
"""Longest side of a tile by the number of tiles."""
LARGEST_PX: Final = 420
GAP_PX: Final = 10
MARGIN_PX: Final = 22
SMALLEST_WIDTH_PX: Final = 760
NUMBER_PX: Final = 18

BACKGROUND: Final = (16, 18, 22)
INK: Final = (236, 238, 242)
FAINT: Final = (158, 164, 174)
LESION: Final = (255, 176, 0)
"""Amber of the IBM colour-blind-safe palette; unlike blue and red it stands out from every grey."""
DIAMETER: Final = (100, 143, 255)
"""Blue of the same palette: it stands out from the white of an enhancing lesion and from its outline."""
CAUTION: Final = (255, 205, 110)

Box = tuple[int, int, int, int]
"""Left, top, right and bottom."""


@dataclass(frozen=True)
class Line:
    """One line of text above or below the slices."""

    text: str
    size: int
    ink: tuple[int, int, int]


def draw_overlay(scan: Scan, segmentation: Segmentation, report: Report, path: Path) -> None:
    """Draw the picture and write it as PNG.

    Args:
        scan: Gives the grey values.
        segmentation: Gives the outlines.
        report: Gives the words.
        path: Where to write.
    """
    view = View.of(scan.volume, segmentation.labels, segmentation.lesions)
    indices = view.measured_slices(MOST_TILES) or view.middle_slices(EMPTY_TILES)
    side = next(pixels for most, pixels in TILE_PX if len(indices) <= most)
    tiles = [_draw_tile(view.tile(index, side), scan) for index in indices]
    sheet = _compose(tiles, _headline(report, view.measured_on(indices)), _footer(report))
    save_png(sheet, path, note=note_of(report))


def draw_largest(scan: Scan, segmentation: Segmentation, most: int) -> list[Image.Image]:
    """The slices in which the largest lesions were measured, each as a picture; from the middle without any."""
    view = View.of(scan.volume, segmentation.labels, segmentation.lesions)
    indices = view.measured_slices(most) or view.middle_slices(most)
    return [_draw_tile(view.tile(index, LARGEST_PX), scan) for index in indices]


def _headline(report: Report, shown: int) -> list[Line]:
    count = report.lesion_count
    title = "No lesion found" if count == 0 else f"{count} lesion{'s' if count > 1 else ''} found"
    if report.total_volume_mm3:
        title += f", {_millilitres(report.total_volume_mm3)} in all"
    about = f"{report.model.name} version {report.model.version}, threshold {report.threshold:g}"
    if shown < count:
        about += f"; the largest {shown} are shown, all are in lesions.csv"
    elif count == 0:
        about += "; slices from the middle are shown"
    if count:
        about += "; blue: longest diameter and its perpendicular"
    return [Line(title, 26, INK), Line(about, 15, FAINT)]


def _millilitres(volume_mm3: float) -> str:
    """The font that comes with Pillow has no raised 3, so that mm³ could not be written."""
    volume_ml = volume_mm3 / 1000
    return f"{volume_ml:.2f} ml" if volume_ml >= 0.1 else f"{volume_ml:.3f} ml"


def _footer(report: Report) -> list[Line]:
    trained = f"Training data: {', '.join(report.trained_on)}." if report.trained_on else ""
    lines = [Line(warning, 14, CAUTION) for warning in report.warnings]
    return [*lines, Line(f"{report.research_use} {trained}".strip(), 14, FAINT)]


def _draw_tile(tile: Tile, scan: Scan) -> Image.Image:
    """One slice with outlines, diameters, numbers, sides and scale, as far as the scan knows them."""
    edge, halo = outline(tile.labels)
    pixels = np.repeat(tile.grey[:, :, None], 3, axis=2)
    pixels[halo] = pixels[halo] // 3
    pixels[edge] = LESION
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for (x0, y0), (x1, y1) in tile.lines.tolist():
        draw.line((x0, y0, x1, y1), fill=DIAMETER, width=2)
    _number(draw, image.size, tile.labels)
    if scan.knows_sides:
        _letters(draw, image.size)
    if not scan.is_picture:
        _write(draw, (8, image.height - 6), f"z {tile.z_ras_mm:+.1f} mm", 14, FAINT, "ls")
    if scan.has_spacing:
        _scale_bar(draw, image.size, tile.pixels_per_mm)
    return image


def _number(draw: ImageDraw.ImageDraw, size: tuple[int, int], labels: NDArray[Any]) -> None:
    """Put each lesion's number beside its outline, the largest first; where there is no room there is none."""
    taken: list[Box] = [(0, size[1] // 2 - 12, 24, size[1] // 2 + 12)]
    taken.append((size[0] - 24, size[1] // 2 - 12, size[0], size[1] // 2 + 12))
    for label in (label for label in np.unique(labels) if label):
        width = round(_font(NUMBER_PX).getlength(str(label)))
        for x, y in corner_points(labels == label, width, NUMBER_PX):
            box = (x - 2, y - 2, x + width + 2, y + NUMBER_PX + 2)
            inside = box[0] >= 0 and box[1] >= 0 and box[2] <= size[0] and box[3] <= size[1]
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                _write(draw, (x, y - 2), str(label), NUMBER_PX, LESION, "la")
                break


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _letters(draw: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
    _write(draw, (8, size[1] // 2), "R", 18, INK, "lm")
    _write(draw, (size[0] - 8, size[1] // 2), "L", 18, INK, "rm")


def _scale_bar(draw: ImageDraw.ImageDraw, size: tuple[int, int], pixels_per_mm: float) -> None:
    length_mm = next((mm for mm in (50, 20, 10, 5) if mm * pixels_per_mm <= size[0] / 3), 2)
    right, y = size[0] - 10, size[1] - 10
    left = right - round(length_mm * pixels_per_mm)
    draw.line((left, y, right, y), fill=(0, 0, 0), width=5)
    draw.line((left, y, right, y), fill=INK, width=2)
    _write(draw, (right, y - 6), f"{length_mm} mm", 14, FAINT, "rs")


def _write(
    draw: ImageDraw.ImageDraw,
    xy: tuple[float, float],
    text: str,
    size: int,
    ink: tuple[int, int, int],
    anchor: str,
) -> None:
    draw.text(xy, text, fill=ink, font=_font(size), anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))


def _font(size: int) -> Any:
    return ImageFont.load_default(size=size)


def _compose(tiles: Sequence[Image.Image], head: Sequence[Line], foot: Sequence[Line]) -> Image.Image:
    """Set the tiles in rows between the lines of text."""
    columns = _columns(len(tiles))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    width, height = tiles[0].size
    grid = columns * width + (columns - 1) * GAP_PX
    canvas_width = max(grid + 2 * MARGIN_PX, SMALLEST_WIDTH_PX)
    head = [part for line in head for part in _wrapped(line, canvas_width - 2 * MARGIN_PX)]
    foot = [part for line in foot for part in _wrapped(line, canvas_width - 2 * MARGIN_PX)]
    heights = [sum(round(line.size * 1.5) for line in lines) for lines in (head, foot)]
    body = len(rows) * (height + GAP_PX)
    canvas = Image.new("RGB", (canvas_width, heights[0] + body + heights[1] + 2 * MARGIN_PX), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    y = _text_lines(draw, head, MARGIN_PX) + GAP_PX
    left = (canvas_width - grid) // 2
    for row in rows:
        for column, tile in enumerate(row):
            canvas.paste(tile, (left + column * (width + GAP_PX), y))
        y += height + GAP_PX
    _text_lines(draw, foot, y)
    return canvas


def _columns(count: int) -> int:
    return {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3}.get(count, 4 if count <= 12 else 6)


def _text_lines(draw: ImageDraw.ImageDraw, lines: Sequence[Line], y: int) -> int:
    for line in lines:
        draw.text((MARGIN_PX, y), line.text, fill=line.ink, font=_font(line.size))
        y += round(line.size * 1.5)
    return y


def _wrapped(line: Line, width: int) -> list[Line]:
    """The line broken between words so that none is wider."""
    parts, current = [], ""
    for word in line.text.split(" "):
        longer = f"{current} {word}".strip()
        if current and _font(line.size).getlength(longer) > width:
            parts.append(current)
            longer = word
        current = longer
    return [Line(text, line.size, line.ink) for text in [*parts, current]]
