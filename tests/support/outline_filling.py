"""Fills closed outlines by the crossings of a line through pixel centres (even-odd)."""

from collections.abc import Iterable

import numpy as np


def filled(outlines: Iterable[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """A mask of the shape; a pixel's corners are whole numbers, and outlines `(n, 2)` may be between them."""
    mask = np.zeros(shape, bool)
    centres = np.arange(shape[0]) + 0.5
    for outline in outlines:
        start, end = outline.astype(float), np.roll(outline, -1, axis=0).astype(float)
        for row in range(shape[1]):
            crossed = (start[:, 1] > row + 0.5) != (end[:, 1] > row + 0.5)
            (x0, y0), (x1, y1) = start[crossed].T, end[crossed].T
            places = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            mask[:, row] ^= (places[:, None] > centres).sum(axis=0) % 2 == 1
    return mask
