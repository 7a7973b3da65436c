"""Contrast-limited adaptive histogram equalisation of a whole volume, uint8 in and out.

Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994: each tile of the plane has
a map of grey values, the clipped and summed histogram of its pixels, and a pixel's map is interpolated between
those of the four nearest tiles. Here a tile goes through all slices, so that equal tissue stays equal from slice
to slice and nearly empty slices are not blown up; 0 (air) is left out and stays 0.
"""

import numpy as np
from numpy.typing import NDArray

from metseg.schemas.model_card import Clahe

LEVELS = 256


def equalise(pixels: NDArray[np.uint8], rule: Clahe) -> NDArray[np.uint8]:
    """Equalise the slices of one volume together.

    Args:
        pixels: (slice, x, y), 0 is air.
        rule: Clip limit and number of tiles.

    Returns:
        A new array of the same shape.
    """
    maps = _maps(pixels, rule)
    low_x, high_x, share_x = _neighbours(pixels.shape[1], rule.tiles)
    low_y, high_y, share_y = _neighbours(pixels.shape[2], rule.tiles)
    share_x, share_y = share_x[:, None], share_y[None, :]
    result = np.empty_like(pixels)
    for target, one in zip(result, pixels, strict=True):
        near = (1 - share_y) * maps[low_x[:, None], low_y, one] + share_y * maps[low_x[:, None], high_y, one]
        far = (1 - share_y) * maps[high_x[:, None], low_y, one] + share_y * maps[high_x[:, None], high_y, one]
        target[:] = np.rint((1 - share_x) * near + share_x * far)
    return result


def _maps(pixels: NDArray[np.uint8], rule: Clahe) -> NDArray[np.float32]:
    """Each tile's map of grey values, (tiles, tiles, 256)."""
    edges_x, edges_y = (np.rint(np.linspace(0, n, rule.tiles + 1)).astype(int) for n in pixels.shape[1:])
    maps = np.empty((rule.tiles, rule.tiles, LEVELS), np.float32)
    for i in range(rule.tiles):
        for j in range(rule.tiles):
            tile = pixels[:, edges_x[i] : edges_x[i + 1], edges_y[j] : edges_y[j + 1]]
            maps[i, j] = _map(np.bincount(tile.reshape(-1), minlength=LEVELS), rule.clip_limit)
    return maps


def _map(counts: NDArray[np.int_], clip_limit: float) -> NDArray[np.float32]:
    """The clipped histogram, summed; what was clipped is spread evenly. A tile of air keeps its grey values."""
    seen = counts[1:].astype(np.float64)
    total = seen.sum()
    if total == 0:
        return np.arange(LEVELS, dtype=np.float32)
    clipped = np.minimum(seen, clip_limit * total / len(seen))
    clipped += (total - clipped.sum()) / len(seen)
    running = np.concatenate([[0.0], np.cumsum(clipped)])
    return np.asarray(running * ((LEVELS - 1) / total), dtype=np.float32)


def _neighbours(count: int, tiles: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each pixel of an axis the tile before it, the one after it, and how near it is to the latter."""
    position = (np.arange(count) + 0.5) * tiles / count - 0.5
    below = np.clip(np.floor(position), 0, tiles - 1).astype(np.intp)
    above = np.minimum(below + 1, tiles - 1)
    return below, above, np.clip(position - below, 0, 1).astype(np.float32)
