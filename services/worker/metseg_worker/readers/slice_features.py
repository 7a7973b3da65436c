"""What a slice looks like, in a few numbers of which each can be said in a sentence."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

LARGEST_SIDE: Final = 1024
SHRUNK_SIDE: Final = 128
"""Slices are shrunk to about these sizes by means of blocks: to see how rough they are, and for all the rest."""
CORNER: Final = 0.1
FRAME: Final = 0.04
"""Shares of a slice's shorter side."""
DARK: Final = 0.15
"""Mean grey of a corner up to which it shows air."""
HEAD: Final = 0.2
"""Grey from which on there is head."""
SHARE_OF_BOX: Final = 0.3
"""A row or column belongs to the head's box if it has this share of the head that the fullest one has."""
GAP: Final = 2
NARROWEST_AIR: Final = 4
"""Rows or columns between the head's box and the air that is measured, and that this air must have at least."""
RAYS: Final = 72
RIM: Final = 0.25
"""Share of the way from the outline to the middle within which scalp and skull lie."""


@dataclass(frozen=True)
class Signs:
    """Grey values run from 0 at a slice's 2nd to 1 at its 98th percentile.

    Attributes:
        dark_corners: How many of the four show air.
        frame: Mean grey along the four sides.
        smoothness: Correlation of neighbouring voxels, along the axis in which it is lower (-1 to 1).
        noise: Mean of the darkest corner by the median of the head, as they were stored.
        ghost: How much brighter the air beside the head is than that in the corners, by the median of the head; 0
            where there is too little air to tell.
        scalp: The brightest of the outer quarter by the median further in, in half of the directions from the
            middle.
        skull: The darkest behind that by the dimmer of the two, likewise: bone is a dark line between scalp and
            brain, and 1 says that there is none.
        extent: Length of the longer side of the head's box, in voxels.
    """

    dark_corners: float
    frame: float
    smoothness: float
    noise: float
    ghost: float
    scalp: float
    skull: float
    extent: float


def signs_of(pixels: NDArray[np.float32]) -> Signs | None:
    """Look at one slice, (x, y); None if all of it is equally bright."""
    pixels, first_block = block_means(pixels, LARGEST_SIDE)
    levels = grey_levels(pixels)
    if levels is None:
        return None
    low, high = levels
    shrunk, block = block_means(pixels, SHRUNK_SIDE)
    grey = np.clip((shrunk - low) / (high - low), 0, 1)
    head = grey > HEAD
    if not head.any():
        return None
    brightness = max(float(np.median(shrunk[head])), float(np.finfo(np.float32).tiny))
    side = min(grey.shape)
    corners, frame = max(2, round(CORNER * side)), max(1, round(FRAME * side))
    scalp, skull = _outline(grey, head)
    return Signs(
        dark_corners=float(sum(corner.mean() <= DARK for corner in _corners(grey, corners))),
        frame=float(np.mean([strip.mean() for strip in _sides(grey, frame)])),
        smoothness=_smoothness(np.clip((pixels - low) / (high - low), 0, 1)),
        noise=float(min(corner.mean() for corner in _corners(shrunk, corners))) / brightness,
        ghost=_ghost(shrunk, head) / brightness,
        scalp=scalp,
        skull=skull,
        extent=float(max(len(inside) for inside in _box(head)) * block * first_block),
    )


def grey_levels(pixels: NDArray[np.float32]) -> tuple[float, float] | None:
    """2nd and 98th percentile, or else the darkest and the brightest; None if all is equally bright."""
    low, high = np.percentile(pixels, (2, 98))
    if high <= low:
        low, high = pixels.min(), pixels.max()
    return (float(low), float(high)) if high > low else None


def block_means(pixels: NDArray[np.float32], side: int) -> tuple[NDArray[np.float32], int]:
    """Means of square blocks, and a block's side; what is left at the far ends is dropped."""
    block = max(1, max(pixels.shape) // side)
    x, y = (size // block for size in pixels.shape)
    return pixels[: x * block, : y * block].reshape(x, block, y, block).mean(axis=(1, 3)), block


def _corners(grey: NDArray[np.float32], size: int) -> list[NDArray[np.float32]]:
    near, far = slice(None, size), slice(-size, None)
    return [grey[x, y] for x in (near, far) for y in (near, far)]


def _sides(grey: NDArray[np.float32], width: int) -> list[NDArray[np.float32]]:
    return [grey[:width], grey[-width:], grey[:, :width], grey[:, -width:]]


def _smoothness(grey: NDArray[np.float32]) -> float:
    centred = grey - grey.mean()
    spread = max(float(np.mean(centred**2)), float(np.finfo(np.float32).tiny))
    along_x, along_y = np.mean(centred[1:] * centred[:-1]), np.mean(centred[:, 1:] * centred[:, :-1])
    return float(min(along_x, along_y)) / spread


def _box(head: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The columns and the rows from the first to the last that show enough of the head."""
    spans = []
    for axis in (1, 0):
        counts = head.sum(axis=axis)
        inside = np.flatnonzero(counts > SHARE_OF_BOX * counts.max())
        spans.append(np.arange(inside[0], inside[-1] + 1))
    return spans[0], spans[1]


def _ghost(shrunk: NDArray[np.float32], head: NDArray[np.bool_]) -> float:
    """Ghosts repeat the head along one axis: they lie beside it and not in the corners."""
    beside = []
    for count, inside in zip(head.shape, _box(head), strict=True):
        air = np.ones(count, dtype=bool)
        air[max(inside[0] - GAP, 0) : inside[-1] + GAP + 1] = False
        beside.append(air)
    x, y = beside
    if min(x.sum(), y.sum()) < NARROWEST_AIR:
        return 0.0
    corners = np.median(shrunk[np.ix_(x, y)])
    return float(max(np.median(shrunk[np.ix_(x, ~y)]), np.median(shrunk[np.ix_(~x, y)])) - corners)


def _outline(grey: NDArray[np.float32], head: NDArray[np.bool_]) -> tuple[float, float]:
    """`Signs.scalp` and `Signs.skull`; both 1 where no direction leads out of the head."""
    middle = np.argwhere(head).mean(axis=0)
    reach = np.arange(max(grey.shape))
    scalp, skull = [1.0], [1.0]
    for angle in np.linspace(0, 2 * np.pi, RAYS, endpoint=False):
        at = np.rint(middle + reach[:, None] * (np.cos(angle), np.sin(angle))).astype(int)
        at = at[((at >= 0) & (at < grey.shape)).all(axis=1)]
        inwards = grey[at[:, 0], at[:, 1]][::-1]
        inwards = inwards[int(np.argmax(inwards > HEAD)) :]
        edge = round(RIM * len(inwards))
        inner = float(np.median(inwards[edge:]))
        if edge and inner and inwards[0] > HEAD:
            brightest = np.maximum.accumulate(inwards[:edge])
            scalp.append(float(brightest[-1]) / inner)
            skull.append(float((inwards[:edge] / np.minimum(brightest, inner)).min()))
    return float(np.median(scalp)), min(float(np.median(skull)), 1.0)
