"""Where the brain lies in a slice, estimated from its grey values alone.

Rough but cheap: good enough to place lesions inside of it and to cut away what lies around it. The work is done at
half the resolution.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
Field = NDArray[np.float32]

HEAD_LEVEL = 20
"""Grey values above are head, of the 255 that `metseg.inference.preprocessing` makes."""

TISSUE_SHARES = (0.5, 0.38)
"""Brain is brighter than this share of the median deep inside the head, the skull around it darker; where grey
matter is dark, the second share finds the brain that the first takes for white matter alone."""

MUCH_LARGER = 1.4
"""By so much the second share must find more, to be believed."""

OPENINGS_PX = (3, 5, 7)
"""Radii at half resolution by which bridges between brain and scalp are cut; the smallest that works is taken."""

LARGEST_SHARE = 0.8
"""A region that fills more of a head than this has leaked into the scalp, or the head has no skull."""

LEAST_SOLIDITY = 0.85
"""A region that fills less of its convex hull has leaked into neck or face and is opened further."""

ACCEPTED_SOLIDITY = 0.7
ACCEPTED_RANGE = (0.38, 1.5)
"""What fills less of its hull is no brain, nor is that whose 15th or 90th percentile lies beyond these shares of
its white matter: muscle, fat and air of the face and neck vary more."""

SMALLEST_PX = 300
"""A smaller region, in pixels at half resolution, is no brain."""


@dataclass(frozen=True, eq=False)
class Brain:
    """The brain of a slice.

    Attributes:
        region: (x, y) bool.
        head: (x, y) bool, the brain with all around it.
        white: Usual grey value of white matter.
        fluid: Usual grey value of cerebrospinal fluid.
    """

    region: NDArray[np.bool_]
    head: NDArray[np.bool_]
    white: float
    fluid: float


def find_brain(plane: Plane) -> Brain | None:
    """Estimate where the brain of a slice (x, y) is; None where there is none to be seen."""
    size = (plane.shape[1], plane.shape[0])
    half = _halved(plane)
    head = _largest_part(_filled(_closed(_flags(half > HEAD_LEVEL), _square(4))))
    if np.count_nonzero(head) < SMALLEST_PX:
        return None
    depth = _depth(head)
    level = float(np.median(half[depth > 0.4 * depth.max()]))
    region, solidity = _region(half, head, depth, level)
    inside = np.sort(half[region > 0])
    if len(inside) < SMALLEST_PX or solidity < ACCEPTED_SOLIDITY:
        return None
    dark, white, bright = (float(inside[int(share * len(inside))]) for share in (0.15, 0.7, 0.9))
    if dark < ACCEPTED_RANGE[0] * white or bright > ACCEPTED_RANGE[1] * white:
        return None
    fluid = float(np.clip(inside[int(0.03 * len(inside))], 0.12 * white, 0.5 * white))
    return Brain(_enlarged(region, size), _enlarged(head, size), white, fluid)


def depth_inside(region: NDArray[np.bool_]) -> Field:
    """Measure how deep each pixel (x, y) lies inside a region, in pixels; 0 outside."""
    return _depth(_flags(region))


def depth_outside(region: NDArray[np.bool_]) -> Field:
    """Measure how far each pixel (x, y) lies from a region that is not empty, in pixels; 0 inside."""
    return np.asarray(cv2.distanceTransform(_flags(~region), cv2.DIST_L2, 3), dtype=np.float32)


def _region(half: Plane, head: Plane, depth: Field, level: float) -> tuple[Plane, float]:
    """Cut the brain out of a head; return it with the share of its convex hull that it fills."""
    first, second = (_flags(half > share * level) & head for share in TISSUE_SHARES)
    region, solidity = _opened(first, head, depth)
    area, head_area = np.count_nonzero(region), np.count_nonzero(head)
    if area > 0.5 * head_area:
        return region, solidity
    other, other_solidity = _opened(second, head, depth)
    larger = MUCH_LARGER * area < np.count_nonzero(other) < LARGEST_SHARE * head_area
    return (other, other_solidity) if larger and other_solidity > LEAST_SOLIDITY else (region, solidity)


def _opened(tissue: Plane, head: Plane, depth: Field) -> tuple[Plane, float]:
    """Cut the bridges to what lies around the brain."""
    best, most = tissue, 0.0
    for radius in OPENINGS_PX:
        core = _deepest_part(np.asarray(cv2.erode(tissue, _disc(radius)), dtype=np.uint8), depth)
        region = np.asarray(cv2.dilate(core, _disc(radius + 1)), dtype=np.uint8) & tissue
        region = _filled(_closed(region, _disc(4)))
        solidity = _solidity(region)
        if solidity > most:
            best, most = region, solidity
        if solidity > LEAST_SOLIDITY and np.count_nonzero(region) < LARGEST_SHARE * np.count_nonzero(head):
            return region, solidity
    return best, most


def _halved(plane: Plane) -> Plane:
    size = (max(plane.shape[1] // 2, 1), max(plane.shape[0] // 2, 1))
    half = cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_AREA)
    return np.asarray(half, dtype=np.uint8)


def _closed(flags: Plane, element: Plane) -> Plane:
    return np.asarray(cv2.morphologyEx(flags, cv2.MORPH_CLOSE, element), dtype=np.uint8)


def _solidity(region: Plane) -> float:
    contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return 0.0
    outline = max(contours, key=len)
    return float(cv2.contourArea(outline) / max(cv2.contourArea(cv2.convexHull(outline)), 1.0))


def _depth(flags: Plane) -> Field:
    padded = cv2.copyMakeBorder(flags, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1], dtype=np.float32)


def _deepest_part(flags: Plane, depth: Field) -> Plane:
    """Keep the part that holds most of the head's inside."""
    count, labels = cv2.connectedComponents(flags, connectivity=4)
    if count < 2:
        return flags
    weights = np.bincount(labels.ravel(), weights=depth.ravel(), minlength=count)
    weights[0] = 0
    return _flags(labels == int(weights.argmax()))


def _largest_part(flags: Plane) -> Plane:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(flags, connectivity=4)
    if count < 2:
        return flags
    return _flags(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))


def _filled(flags: Plane) -> Plane:
    """Fill holes."""
    outside = cv2.copyMakeBorder(flags, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(outside, None, (0, 0), 2)
    return _flags(outside[1:-1, 1:-1] != 2)


def _flags(values: NDArray[np.bool_]) -> Plane:
    return values.astype(np.uint8)


@cache
def _disc(radius: int) -> Plane:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), dtype=np.uint8)


@cache
def _square(radius: int) -> Plane:
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


def _enlarged(flags: Plane, size: tuple[int, int]) -> NDArray[np.bool_]:
    smooth = cv2.resize(flags * np.uint8(255), size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(smooth > 127)
