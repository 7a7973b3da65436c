"""How unlike the slices of human heads a slice is.

A slice is described by eleven numbers: the shape of the largest bright part, how grey values are spread inside it,
and what its rim looks like. Their median and covariance over slices of heads are in `head_shape.json`, which
`python -m benchmarks.head_shape` writes; the distance is that of Mahalanobis (Proc. Natl. Inst. Sci. India 2:49,
1936). Bottles, fruit and limbs lie far away (decision 36).
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from metseg_worker.readers.slice_features import HEAD, Signs, block_means, grey_levels

SIDE: Final = 96
"""Slices are shrunk to about this size by means of blocks."""
FEWEST_PIXELS: Final = 50
"""Parts smaller than this have no shape to speak of."""
RIM: Final = 0.12
DETAIL: Final = 0.05
"""Depth of the rim left out inside, and the scale below which grey values count as texture; both as shares of the
square root of the part's area."""
DIRECTIONS: Final = 72
TINY: Final = 1e-3
CLOSEST: Final = 0.02

FEATURES: Final = (
    "solidity",
    "ellipse",
    "aspect",
    "texture",
    "variation",
    "p5",
    "p25",
    "p75",
    "p95",
    "scalp",
    "skull",
)


@dataclass(frozen=True, eq=False)
class HeadShape:
    """What slices of heads are like.

    Attributes:
        mean: (features,) median over slices of heads.
        precision: (features, features) inverse of their covariance.
    """

    mean: NDArray[np.float64]
    precision: NDArray[np.float64]

    def distance(self, features: NDArray[np.float64]) -> float:
        """Mahalanobis distance of one slice's features, 0 or more; half of the slices of heads lie below 3."""
        apart = features - self.mean
        return float(np.sqrt(max(float(apart @ self.precision @ apart), 0.0)))


@cache
def head_shape() -> HeadShape:
    """The heads that were measured."""
    stored = json.loads(files(__package__).joinpath("head_shape.json").read_text("utf-8"))
    return HeadShape(np.array(stored["mean"]), np.array(stored["precision"]))


def features_of(pixels: NDArray[np.float32], signs: Signs) -> NDArray[np.float64] | None:
    """(features,) of a slice (x, y) in the order of `FEATURES`; None where there is no part large enough."""
    levels = grey_levels(pixels)
    if levels is None:
        return None
    low, high = levels
    grey = np.clip((block_means(pixels, SIDE)[0] - low) / (high - low), 0, 1)
    part = _largest_part(grey > HEAD)
    area = int(part.sum())
    if area < FEWEST_PIXELS:
        return None
    aspect, ellipse = _ellipse(part)
    texture, variation, percentiles = _inside(grey, part)
    return np.array(
        [
            _stretched(area / _hull_area(part)),
            _stretched(ellipse),
            np.log(aspect),
            _log(texture),
            _log(variation),
            percentiles[0],
            percentiles[1],
            _log(percentiles[2]),
            _log(percentiles[3]),
            _log(signs.scalp),
            signs.skull,
        ]
    )


def _log(value: float) -> float:
    return float(np.log(max(value, TINY)))


def _stretched(share: float) -> float:
    """Tells shares close to 1 apart, but for those that are closer than pixels can show."""
    return -float(np.log(max(1 - share, CLOSEST)))


def _largest_part(bright: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, _ = ndimage.label(bright)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(bright & (parts == sizes.argmax())))


def _hull_area(part: NDArray[np.bool_]) -> float:
    """Area of the polygon whose sides touch the part in `DIRECTIONS` directions; close to its convex hull."""
    places = np.argwhere(part)
    step = 2 * np.pi / DIRECTIONS
    angles = step * np.arange(DIRECTIONS)
    outwards = np.stack([np.cos(angles), np.sin(angles)])
    reach = (places @ outwards).max(axis=0) + np.abs(outwards).sum(axis=0) / 2  # of the pixels' corners
    sides = (np.roll(reach, 1) + np.roll(reach, -1) - 2 * reach * np.cos(step)) / np.sin(step)
    return float(reach @ sides) / 2


def _ellipse(part: NDArray[np.bool_]) -> tuple[float, float]:
    """Ratio of the axes, 1 or more, of the ellipse of the same second moments, and how much of both is common."""
    pixels = np.argwhere(part)
    middle = pixels.mean(axis=0)
    squares, axes = np.linalg.eigh(np.cov((pixels - middle).T))
    squares = np.maximum(squares, TINY)
    places = (np.indices(part.shape).reshape(2, -1).T - middle) @ axes
    inside = ((places**2 / (4 * squares)).sum(axis=1) <= 1).reshape(part.shape)
    return float(np.sqrt(squares[1] / squares[0])), float((inside & part).sum() / (inside | part).sum())


def _inside(grey: NDArray[np.float32], part: NDArray[np.bool_]) -> tuple[float, float, NDArray[np.float64]]:
    """Texture, standard deviation, and the 5th, 25th, 75th and 95th percentile, all by the median."""
    size = float(np.sqrt(part.sum()))
    inner = ndimage.binary_erosion(part, iterations=max(1, int(RIM * size)))
    if inner.sum() < FEWEST_PIXELS:
        inner = part
    scale = DETAIL * size
    weight = ndimage.gaussian_filter(inner.astype(float), scale) + TINY
    coarse = ndimage.gaussian_filter(np.where(inner, grey, 0.0), scale) / weight
    values = grey[inner].astype(float)
    median = max(float(np.median(values)), TINY)
    detail = values - coarse[inner]
    return (
        float(detail.std()) / median,
        float(values.std()) / median,
        np.asarray(np.percentile(values, (5, 25, 75, 95)) / median),
    )
