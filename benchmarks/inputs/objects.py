"""Drawings of what also lies in scanners and is no human head, as slices of 256 × 256 pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Drawing = NDArray[np.uint8]
SIDE = 256
NOISE = 3.0
"""Standard deviation of the grey values' noise, of 255."""


def objects() -> dict[str, Drawing]:
    """Each by its name, (rows, columns)."""
    return {
        "bottle": finished(bottle()),
        "box": finished(box()),
        "orange": finished(orange()),
        "leg": finished(leg()),
        "both legs": finished(both_legs()),
        "shoulder": finished(shoulder()),
    }


def bottle() -> NDArray[np.float64]:
    """Water in a round bottle: bright at the rim, as dielectric effects make it, and even."""
    out = radius()
    return np.where(out < 0.6, 150 + 80 * out**2, 0.0)


def box() -> NDArray[np.float64]:
    """A square phantom with a grid of rods."""
    x, y = places()
    rods = np.hypot((x * 5) % 1 - 0.5, (y * 5) % 1 - 0.5) < 0.3
    return np.where(np.maximum(abs(x), abs(y)) < 0.7, np.where(rods, 20.0, 200.0), 0.0)


def orange() -> NDArray[np.float64]:
    """Ten segments of pulp between dark skins, in a bright peel."""
    x, y = places()
    out = radius()
    between = abs(np.sin(5 * np.arctan2(y, x))) < 0.25
    pulp = np.where(between | (out < 0.06), 50.0, 190.0)
    return np.select([out < 0.55, out < 0.58, out < 0.66], [pulp, 30, 110], 0.0)


def leg() -> NDArray[np.float64]:
    """Fat around dim muscle, around the dark ring of a bone that is bright with marrow."""
    out, bone = radius(), radius(0.1, 0.05)
    return np.select([bone < 0.1, bone < 0.15, out < 0.5, out < 0.65], [220, 10, 70, 240], 0.0)


def both_legs() -> NDArray[np.float64]:
    """Two of them beside each other."""
    half = leg()[32:-32:2, 32:-32:2]
    both = np.zeros((SIDE, SIDE))
    for column in (16, 144):
        both[80 : 80 + half.shape[0], column : column + half.shape[1]] = half
    return both


def shoulder() -> NDArray[np.float64]:
    """The ball of the upper arm beside muscles that leave the picture."""
    x, y = places()
    muscle = (x > -0.1) & (abs(y) < 0.75 - 0.2 * np.cos(4 * x))
    arm = (abs(y + 0.1) < 0.25) & (x > -0.7)
    ball = np.hypot(x + 0.35, y + 0.2)
    return np.select([ball < 0.26, ball < 0.3, muscle, arm], [230, 20, 60 + 30 * np.cos(14 * y), 90], 0.0)


def places() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """X and y of the pixels, -1 to 1."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2)
    return x, y


def radius(x0: float = 0.0, y0: float = 0.0) -> NDArray[np.float64]:
    """Distance of the pixels from a place."""
    x, y = places()
    return np.asarray(np.hypot(x - x0, y - y0))


def finished(grey: NDArray[np.floating[Any]]) -> Drawing:
    """With the noise of a magnitude image."""
    first, second = np.random.default_rng(7).normal(0, NOISE, (2, *grey.shape))
    return np.asarray(np.clip(np.rint(np.hypot(grey + first, second)), 0, 255), dtype=np.uint8)
