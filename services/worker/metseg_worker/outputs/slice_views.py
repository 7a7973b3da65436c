"""Which slices a picture shows, and each of them at its true proportions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metseg.imaging.volume import Volume
from metseg.schemas.report import Lesion

WINDOW_PERCENTILES: Final = (1.0, 99.7)
HEAD_FRACTION: Final = 0.12
"""Brighter than this share of the shown range belongs to the head, for cropping."""
CROP_MARGIN_MM: Final = 9.0
GAP_PX: Final = 5


@dataclass(frozen=True, eq=False)
class Tile:
    """One slice, ready to be drawn.

    Attributes:
        grey: (rows, columns) uint8 in radiological display.
        labels: (rows, columns) lesion numbers, 0 outside.
        z_ras_mm: Height of the slice's middle in the patient.
        pixels_per_mm: Size of a millimetre in the tile.
        lines: (n, 2, 2) ends of the diameters that were measured in the slice, as x and y in the tile.
    """

    grey: NDArray[np.uint8]
    labels: NDArray[Any]
    z_ras_mm: float
    pixels_per_mm: float
    lines: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class View:
    """A scan and its lesions turned to RAS+, with the part and the grey values that are shown.

    Attributes:
        grey: The volume.
        labels: (x, y, z) lesion numbers on the same grid.
        lines: Of each lesion its two diameters, (2, 2, 3) as voxel indices of this grid, the largest lesion first.
        crop: Where the head is along x, y and z.
        window: Grey values that become black and white.
    """

    grey: Volume
    labels: NDArray[Any]
    lines: list[NDArray[np.float64]]
    crop: tuple[slice, slice, slice]
    window: tuple[float, float]

    @classmethod
    def of(cls, scan: Volume, labels: Volume, lesions: Sequence[Lesion]) -> Self:
        """Turn all to RAS+ and choose crop and window from the grey values."""
        grey, turned = scan.to_ras(), labels.to_ras().array
        step = max(1, grey.array.size // 2_000_000) | 1
        low, high = np.percentile(grey.array.reshape(-1)[::step], WINDOW_PERCENTILES)
        level = low + HEAD_FRACTION * (high - low)
        head = grey.array > level
        x, y, z = (_span(head, turned > 0, axis, grey.spacing_mm[axis]) for axis in range(3))
        lines = [_at(grey, _ends_mm(lesion, scan)) for lesion in lesions]
        return cls(grey, turned, lines, (x, y, z), (float(low), float(max(high, low + 1e-6))))

    def measured_slices(self, most: int) -> list[int]:
        """Indices along z, from feet to head, of the slices in which lesions were measured.

        Args:
            most: At most so many slices; the largest lesions come first.
        """
        chosen = dict.fromkeys(_slice_of(line) for line in self.lines)
        return sorted(list(chosen)[:most])

    def measured_on(self, indices: Sequence[int]) -> int:
        """How many lesions were measured in one of these slices."""
        return sum(_slice_of(line) in indices for line in self.lines)

    def middle_slices(self, count: int) -> list[int]:
        """Indices along z of slices spread over the middle of the head."""
        _, _, z = self.crop
        return sorted({int(index) for index in np.linspace(z.start, z.stop - 1, count + 4)[2:-2]})

    def tile(self, index: int, longest_px: int) -> Tile:
        """One axial slice, enlarged so that its longer side has so many pixels."""
        x, y, _ = self.crop
        width_mm = (x.stop - x.start) * self.grey.spacing_mm[0]
        height_mm = (y.stop - y.start) * self.grey.spacing_mm[1]
        scale = longest_px / max(width_mm, height_mm)
        size = (max(1, round(width_mm * scale)), max(1, round(height_mm * scale)))
        low, high = self.window
        values = np.clip((self.grey.array[x, y, index].astype(np.float32) - low) / (high - low), 0, 1)
        picture = Image.fromarray(_displayed(np.rint(values * 255).astype(np.uint8)))
        grey = np.array(picture.resize(size, Image.Resampling.BICUBIC))
        labels = _enlarged(_displayed(self.labels[x, y, index]), size)
        centre = self.grey.world(np.array([[(n - 1) / 2 for n in self.grey.shape[:2]] + [index]]))
        here = [line for line in self.lines if _slice_of(line) == index]
        ends = np.concatenate(here) if here else np.zeros((0, 2, 3))
        pixel = np.array(size) / (x.stop - x.start, y.stop - y.start)
        lines = (np.array((x.stop, y.stop)) - 0.5 - ends[..., :2]) * pixel
        return Tile(grey, labels, float(centre[0, 2]), scale, lines)


def outline(labels: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Edge (two pixels, just outside of each lesion) and the shadow around it, as masks."""
    inside = labels > 0
    once = _grown(_grown(inside) | _between(labels))
    return once & ~inside | _between(labels), _grown(once) & ~once


def corner_points(inside: NDArray[np.bool_], width: int, height: int) -> list[tuple[int, int]]:
    """Where a text of that size may stand (its left and top), touching a lesion at one of its four corners.

    The upper right comes first, then the upper left, lower right and lower left.
    """
    rows, columns = np.nonzero(inside)
    points = []
    for down, right in ((-1, 1), (-1, -1), (1, 1), (1, -1)):
        outermost = int(np.argmax(right * columns + down * rows))
        x = int(columns[outermost]) + (GAP_PX if right > 0 else -GAP_PX - width)
        y = int(rows[outermost]) + (GAP_PX // 2 if down > 0 else -GAP_PX // 2 - height)
        points.append((x, y))
    return points


def _ends_mm(lesion: Lesion, source: Volume) -> NDArray[np.float64]:
    """The ends of both diameters, (2, 2, 3) in RAS+ mm (of a picture in those of its affine)."""
    if lesion.longest_diameter_ends_ras_mm is not None and lesion.perpendicular_diameter_ends_ras_mm is not None:
        return np.array((lesion.longest_diameter_ends_ras_mm, lesion.perpendicular_diameter_ends_ras_mm))
    pixels = np.zeros((2, 2, 3))
    pixels[..., :2] = (lesion.longest_diameter_ends_px, lesion.perpendicular_diameter_ends_px)
    return source.world(pixels.reshape(4, 3)).reshape(2, 2, 3)


def _at(grid: Volume, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    return grid.voxel(points_mm.reshape(-1, 3)).reshape(points_mm.shape)


def _slice_of(line: NDArray[np.float64]) -> int:
    return int(np.rint(line[0, 0, 2]))


def _displayed(plane: NDArray[Any]) -> NDArray[Any]:
    """(x, y) in RAS+ to rows × columns: the front up, the patient's left on the right."""
    return np.ascontiguousarray(plane[::-1, ::-1].T)


def _enlarged(plane: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    rows = np.arange(size[1]) * plane.shape[0] // size[1]
    columns = np.arange(size[0]) * plane.shape[1] // size[0]
    return plane[np.ix_(rows, columns)]


def _span(head: NDArray[np.bool_], lesions: NDArray[np.bool_], axis: int, spacing_mm: float) -> slice:
    """Where along an axis there is head (more than stray voxels of it) or a lesion, with a margin."""
    others = tuple({0, 1, 2} - {axis})
    inside = np.flatnonzero((head.mean(axis=others) > 0.01) | lesions.any(axis=others))
    if not len(inside):
        return slice(0, head.shape[axis])
    margin = round(CROP_MARGIN_MM / spacing_mm)
    return slice(max(int(inside[0]) - margin, 0), min(int(inside[-1]) + margin + 1, head.shape[axis]))


def _grown(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """One pixel wider in four directions."""
    grown = inside.copy()
    grown[1:] |= inside[:-1]
    grown[:-1] |= inside[1:]
    grown[:, 1:] |= inside[:, :-1]
    grown[:, :-1] |= inside[:, 1:]
    return grown


def _between(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels where two lesions touch."""
    touching = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        a, b = (np.moveaxis(part, axis, 0) for part in (labels, touching))
        b[1:] |= (a[1:] != a[:-1]) & (a[1:] > 0) & (a[:-1] > 0)
    return touching
