"""Outlines of a mask within one slice, along the edges of its pixels.

A corner of pixel (i, j) has the coordinates i or i + 1 and j or j + 1. Only pixels that touch by a side share an
outline, so no outline crosses itself. A hole is reached from the outline by a keyhole: a channel without width,
there and back, as closed planar contours need it (PS3.3, C.8.8.6.3).
"""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Corner = tuple[int, int]
Loop = list[Corner]


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """The closed outlines of a mask.

    Args:
        mask: (columns, rows).

    Returns:
        For each part of the mask, (n, 2) corners in turn; the last is joined to the first. Filled, they give the
        mask back.
    """
    parts, count = ndimage.label(mask)  # by sides
    found = []
    for number, box in enumerate(ndimage.find_objects(parts, count), start=1):
        outer, *holes = _loops(parts[box] == number)
        joined = outer
        for hole in holes:
            joined = _joined(joined, hole)
        start = [side.start for side in box]
        found.append(np.array(_without_straight(joined), dtype=np.int64) + start)
    return found


def _loops(part: NDArray[np.bool_]) -> list[Loop]:
    """The outer loop of a part, then its holes from the lowest first coordinate on; every corner is listed."""
    ways = _ways(part)
    loops = []
    while ways:
        start = min(ways)
        loops.append(_walk(ways, start))
    return loops


def _ways(part: NDArray[np.bool_]) -> dict[Corner, list[Corner]]:
    """Where sides lead on from each corner, with the part on the left."""
    ways: defaultdict[Corner, list[Corner]] = defaultdict(list)
    padded = np.pad(part, 1)
    inner = padded[1:-1, 1:-1]
    for neighbour, start, end in (
        (padded[1:-1, :-2], (0, 0), (1, 0)),
        (padded[2:, 1:-1], (1, 0), (1, 1)),
        (padded[1:-1, 2:], (1, 1), (0, 1)),
        (padded[:-2, 1:-1], (0, 1), (0, 0)),
    ):
        for i, j in np.argwhere(inner & ~neighbour).tolist():
            ways[i + start[0], j + start[1]].append((i + end[0], j + end[1]))
    return ways


def _walk(ways: dict[Corner, list[Corner]], start: Corner) -> Loop:
    """Take one loop out of the ways; where two pixels touch by the corner, it keeps to the side of its own."""
    loop, here, before = [start], start, None
    while True:
        onward = ways[here]
        there = onward[0] if before is None or len(onward) == 1 else _leftmost(before, here, onward)
        onward.remove(there)
        if not onward:
            del ways[here]
        if there == start:
            return loop
        loop.append(there)
        before, here = here, there


def _leftmost(before: Corner, here: Corner, onward: list[Corner]) -> Corner:
    along = (here[0] - before[0], here[1] - before[1])
    left = (here[0] - along[1], here[1] + along[0])
    return left if left in onward else onward[0]


def _joined(outline: Loop, hole: Loop) -> Loop:
    """Put a hole into the outline that lies before its lowest corner, by way of a keyhole."""
    first, second = hole[0]
    places = {corner: at for at, corner in enumerate(outline)}
    reached = next(one for one in range(first, -1, -1) if (one, second) in places)
    at = places[reached, second]
    channel = [(one, second) for one in range(reached, first)]
    there_and_back = [*channel, *hole, hole[0], *channel[::-1]] if channel else [*hole, hole[0]]
    return [*outline[:at], *there_and_back, *outline[at + 1 :]]


def _without_straight(loop: Loop) -> Loop:
    """Drop corners at which the loop runs straight on."""
    kept = []
    for before, here, after in zip([loop[-1], *loop[:-1]], loop, [*loop[1:], loop[0]], strict=True):
        if (here[0] - before[0], here[1] - before[1]) != (after[0] - here[0], after[1] - here[1]):
            kept.append(here)
    return kept
