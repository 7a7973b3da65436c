"""From a scan to what the network sees, and exactly back.

`prepare` turns the voxels to RAS+ without interpolation, keeps the slices nearest to axial as they were acquired,
resamples each in its plane to the card's spacing, and places a square window on it. `Prepared.restore` goes the
same way back. Both use the same centre-to-centre rule, so what is found lies where it was seen. Where the card
asks for it, the grey values in the window are equalised at the end, which moves nothing.

Orders: network arrays are `(slice, x, y)` and `(n, x, y, channel)` in RAS+.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from metseg.errors import UnsupportedInputError
from metseg.imaging.scan import Scan
from metseg.imaging.volume import Volume
from metseg.inference.clahe import equalise
from metseg.inference.resampling import Axis, resampling_matrix
from metseg.schemas.model_card import Intensity, Preprocessing

HEAD_FRACTION = 0.1
"""Brighter than the 2nd percentile by this share of the 2nd-98th percentile range is head, not air.

Smith, Fast robust automated brain extraction, Hum Brain Mapp 2002, section 2.1 (t = t2 + 0.1 (t98 - t2))."""

SMALLEST_HEAD_AREA_MM2 = 20.0
"""A slice with less head than this is air and not shown to the network."""

STRAY_FRACTION = 0.005
"""A row or column with a smaller share of head voxels is noise and does not widen the head's box."""

MOST_SAMPLES = 4_000_000
"""Percentiles of larger volumes are taken from evenly spread voxels, about this many."""


@dataclass(frozen=True)
class NetworkGrid:
    """The window in which the network sees a slice.

    Attributes:
        source: The axes x and y of the canonical source grid, positions in mm (pixels without spacing).
        window: The axes x and y of the network, in the same positions.
    """

    source: tuple[Axis, Axis]
    window: tuple[Axis, Axis]

    def to_window(self, slices: NDArray[Any]) -> NDArray[np.float32]:
        """Resample `(slice, x, y)` from the canonical source grid into the window."""
        return _resample(slices, self._inwards)

    def to_source(self, slices: NDArray[Any]) -> NDArray[np.float32]:
        """Resample `(slice, x, y)` from the window to the canonical source grid, 0 outside of the window."""
        return _resample(slices, self._outwards)

    @cached_property
    def _inwards(self) -> tuple[csr_array, csr_array]:
        return _matrices(self.source, self.window)

    @cached_property
    def _outwards(self) -> tuple[csr_array, csr_array]:
        return _matrices(self.window, self.source)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan on the network's grid.

    Attributes:
        source: The volume that was prepared, on its own grid.
        grid: Where the window lies.
        pixels: (slices, size, size) uint8, all slices from feet to head.
        kept: Indices of the slices that show head; the others are air.
    """

    source: Volume
    grid: NetworkGrid
    pixels: NDArray[np.uint8]
    kept: NDArray[np.intp]

    def batches(self, n: int) -> Iterator[NDArray[np.uint8]]:
        """The kept slices with their neighbours, as `(≤ n, size, size, 3)` uint8.

        Channel 0 is the slice below, 1 the slice itself, 2 the slice above; at the ends, and for a picture, the
        slice stands in for the neighbour that is not there.
        """
        last = len(self.pixels) - 1
        for start in range(0, len(self.kept), n):
            here = self.kept[start : start + n]
            below, above = np.maximum(here - 1, 0), np.minimum(here + 1, last)
            yield np.stack((self.pixels[below], self.pixels[here], self.pixels[above]), axis=-1)

    def restore(self, probability: NDArray[np.float32]) -> Volume:
        """Take one value per network pixel back to the source grid.

        Args:
            probability: (len(kept), size, size) float32.

        Returns:
            float32 on the source grid, 0 where the network saw nothing.
        """
        x, y = (axis.count for axis in self.grid.source)
        canonical = np.zeros((x, y, len(self.pixels)), np.float32)
        for z, values in zip(self.kept, probability, strict=True):
            canonical[:, :, z] = self.grid.to_source(values[None])[0]
        return Volume(self.source.from_ras(canonical), self.source.affine)

    def transfer(self, mask: Volume) -> NDArray[np.uint8]:
        """Take a label of the source grid (0 and more) to the network's grid.

        Returns:
            (slices, size, size) of 0 and 1: 1 where at least half of the pixel is labelled.
        """
        return (self.coverage(mask) >= 0.5).astype(np.uint8)

    def coverage(self, mask: Volume) -> NDArray[np.float32]:
        """Measure how much of each pixel is labelled (0 to 1), as (slices, size, size)."""
        labelled = self.source.with_array(mask.array > 0).to_ras().array
        return self.grid.to_window(np.moveaxis(labelled, 2, 0).astype(np.float32))


def prepare(scan: Scan, rules: Preprocessing) -> Prepared:
    """Bring a scan to the grid and the grey values that a network was trained on.

    A volume, and a picture of known spacing, is resampled to `rules.spacing_mm`; should its head be larger than
    the window, the spacing grows until it fits, so nothing is cut off. A picture of unknown spacing is fitted to
    the window with its aspect kept.

    Raises:
        UnsupportedInputError: every voxel has the same value.
    """
    canonical = scan.volume.to_ras()
    slices = np.moveaxis(canonical.array, 2, 0)
    head_level, low, high = _grey_levels(slices, rules.intensity)
    if scan.has_spacing:
        grid = _grid_mm(canonical, slices > head_level, rules)
    else:
        grid = _grid_fitted(canonical, rules)
    if scan.is_picture:
        kept = np.arange(len(slices))
    else:
        area = canonical.spacing_mm[0] * canonical.spacing_mm[1]
        kept = np.flatnonzero((slices > head_level).sum(axis=(1, 2)) * area >= SMALLEST_HEAD_AREA_MM2)
    pixels = np.stack([_to_uint8(grid, one, low, high) for one in slices])
    if rules.clahe is not None:
        pixels = equalise(pixels, rules.clahe)
    return Prepared(scan.volume, grid, pixels, kept)


def rescale_grey(slices: NDArray[Any], rule: Intensity) -> NDArray[np.uint8]:
    """Scale grey values to 0…255 as `prepare` does, where no resampling is needed.

    Args:
        slices: An array of any shape, all of which the levels are taken from.
        rule: The card's rule.

    Raises:
        UnsupportedInputError: every voxel has the same value.
    """
    _, low, high = _grey_levels(slices, rule)
    if slices.dtype != np.uint8:
        return np.asarray(np.rint(_scaled(slices, low, high)), dtype=np.uint8)
    table = np.asarray(np.rint(_scaled(np.arange(256), low, high)), dtype=np.uint8)
    return np.asarray(table[slices], dtype=np.uint8)


def _to_uint8(grid: NetworkGrid, one: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    windowed = np.clip(grid.to_window(_scaled(one, low, high)[None])[0], 0, 255)
    return np.asarray(np.rint(windowed), dtype=np.uint8)


def _scaled(values: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    scaled = (values.astype(np.float32) - np.float32(low)) * np.float32(255.0 / (high - low))
    return np.asarray(np.clip(scaled, 0, 255), dtype=np.float32)


def _grey_levels(slices: NDArray[Any], rule: Intensity) -> tuple[float, float, float]:
    """The grey values from which on there is head, which become 0, and which become 255."""
    step = max(1, slices.size // MOST_SAMPLES) | 1
    sample = _Sample(slices.reshape(-1)[::step])
    dark, bright = sample.percentile(2), sample.percentile(98)
    if bright <= dark:
        dark, bright = sample.percentile(0), sample.percentile(100)
    if bright <= dark:
        raise UnsupportedInputError("expected an image of a head, but every voxel has the same value")
    head_level = dark + HEAD_FRACTION * (bright - dark)
    low = sample.percentile(rule.low)
    high = sample.percentile(rule.high, above=head_level)
    return head_level, low, max(high, head_level)


class _Sample:
    """Sorted grey values, each distinct one with the number of those up to it."""

    def __init__(self, values: NDArray[Any]) -> None:
        if values.dtype in (np.uint8, np.uint16):
            counts = np.bincount(values)
            levels = np.flatnonzero(counts)
            self._levels, self._ends = levels.astype(np.float64), counts[levels].cumsum()
        else:
            self._levels = np.sort(values).astype(np.float64)
            self._ends = np.arange(1, len(values) + 1)

    def percentile(self, q: float, *, above: float = -np.inf) -> float:
        """Interpolate linearly as `numpy.percentile` does, over the values beyond `above`."""
        skipped = int(np.searchsorted(self._levels, above, side="right"))
        before = int(self._ends[skipped - 1]) if skipped else 0
        position = before + q / 100 * (int(self._ends[-1]) - before - 1)
        below = int(np.floor(position))
        lower, upper = (
            float(self._levels[np.searchsorted(self._ends, rank, side="right")])
            for rank in (below, min(below + 1, int(self._ends[-1]) - 1))
        )
        return lower + (upper - lower) * (position - below)


def _grid_mm(canonical: Volume, head: NDArray[np.bool_], rules: Preprocessing) -> NetworkGrid:
    spacing = canonical.spacing_mm
    source = tuple(Axis(canonical.shape[i], spacing[i]) for i in (0, 1))
    spans = [_head_span(head.sum(axis=tuple({0, 1, 2} - {1 + i})), source[i]) for i in (0, 1)]
    widest = max(end - start for start, end in spans)
    pitch = max(rules.spacing_mm, widest / rules.size)
    window = tuple(
        _window(axis, (start + end) / 2, rules.size, pitch)
        for axis, (start, end) in zip(source, spans, strict=True)
    )
    return NetworkGrid((source[0], source[1]), (window[0], window[1]))


def _head_span(counts: NDArray[np.int_], axis: Axis) -> tuple[float, float]:
    """Outer edges of the head along one axis."""
    inside = np.flatnonzero(counts > STRAY_FRACTION * counts.max())
    first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (0, axis.count - 1)
    return (first - 0.5) * axis.spacing, (last + 0.5) * axis.spacing


def _window(axis: Axis, centre: float, size: int, pitch: float) -> Axis:
    """A window around the head; around the whole field of view where that fits."""
    extent, field = size * pitch, axis.count * axis.spacing
    if field <= extent:
        centre = (axis.count - 1) / 2 * axis.spacing
    else:
        nearest, furthest = extent / 2 - axis.spacing / 2, field - extent / 2 - axis.spacing / 2
        centre = min(max(centre, nearest), furthest)
    return Axis(size, pitch, centre - (size - 1) / 2 * pitch)


def _grid_fitted(canonical: Volume, rules: Preprocessing) -> NetworkGrid:
    x, y = (Axis(canonical.shape[i], 1.0) for i in (0, 1))
    pitch = max(x.count, y.count) / rules.size
    return NetworkGrid((x, y), (_window(x, 0, rules.size, pitch), _window(y, 0, rules.size, pitch)))


def _matrices(source: tuple[Axis, Axis], target: tuple[Axis, Axis]) -> tuple[csr_array, csr_array]:
    return resampling_matrix(source[0], target[0]), resampling_matrix(source[1], target[1])


def _resample(slices: NDArray[Any], along: tuple[csr_array, csr_array]) -> NDArray[np.float32]:
    x, y = along
    resampled = np.empty((len(slices), x.shape[0], y.shape[0]), np.float32)
    for target, one in zip(resampled, slices, strict=True):
        target[:] = (y @ (x @ one.astype(np.float32, copy=False)).T).T
    return resampled
