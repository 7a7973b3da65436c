"""Random changes of a slice and its mask together, on numpy and OpenCV, repeatable from a seed.

An image and its mask go through one and the same map, the image linearly, the mask to the nearest neighbour. The
strengths are data (`Augmentation`); a draw depends on the generator alone, so that a seed names a picture.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metseg_trainer.implants.stripping import StripSettings, strip_skull


@dataclass(frozen=True)
class Augmentation:
    """How strongly slices are changed; zero switches a change off.

    Attributes:
        rotation_degrees: Largest turn to either side.
        shift_px: Largest shift along each axis, in pixels of the source.
        zoom: Largest relative change of size, to either side, on a logarithmic scale.
        stretch: The same for one axis against the other.
        shear: Largest shear to either side.
        flip_x: Chance to exchange left and right (axis 0).
        flip_y: Chance to exchange back and front (axis 1).
        elastic_px: Standard deviation of the displacement of a coarse grid, in pixels of the source.
        gamma: Largest logarithm of the exponent, to either side.
        contrast: Largest relative change of contrast, to either side.
        gain: Largest logarithm of a global factor, to either side, as when bright fat takes the top of the range.
        brightness: Largest change of brightness, to either side, of a range of 1.
        bias: Largest logarithm of a smooth multiplicative field.
        blur_px: Largest standard deviation of a Gaussian blur.
        noise: Largest standard deviation of Gaussian noise, of a range of 1.
        chance: Chance of each of the changes of intensity and of the elastic one.
        strip: Chance that all around the brain is removed and the grey values are scaled again.
    """

    rotation_degrees: float = 0.0
    shift_px: float = 0.0
    zoom: float = 0.0
    stretch: float = 0.0
    shear: float = 0.0
    flip_x: float = 0.0
    flip_y: float = 0.0
    elastic_px: float = 0.0
    gamma: float = 0.0
    contrast: float = 0.0
    gain: float = 0.0
    brightness: float = 0.0
    bias: float = 0.0
    blur_px: float = 0.0
    noise: float = 0.0
    chance: float = 0.5
    strip: float = 0.0


@dataclass(frozen=True)
class Frame:
    """The part of a slice that training sees.

    Attributes:
        size: Sides of the result, in pixels.
        scale: Pixels of the result per pixel of the source; 0.5 halves the resolution.
    """

    size: tuple[int, int]
    scale: float = 1.0


def sampling_map(
    rng: np.random.Generator, strength: Augmentation, frame: Frame, centre: tuple[float, float]
) -> NDArray[np.float32]:
    """Draw where in the source each pixel of the result comes from.

    Args:
        rng: Source of all randomness.
        strength: What may happen, and how much of it.
        frame: Size and resolution of the result.
        centre: The point of the source that lies in the middle of an unchanged result.

    Returns:
        (w, h, 2) positions in the source, axis 0 first, in pixels.
    """
    angle = np.deg2rad(rng.uniform(-1, 1) * strength.rotation_degrees)
    zoom = np.exp(rng.uniform(-1, 1) * np.log1p(strength.zoom))
    stretch = np.exp(rng.uniform(-0.5, 0.5) * np.log1p(strength.stretch))
    shear = rng.uniform(-1, 1) * strength.shear
    flips = [-1.0 if rng.random() < chance else 1.0 for chance in (strength.flip_x, strength.flip_y)]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shape = np.array([[stretch, shear], [0.0, 1.0 / stretch]])
    matrix = turn @ shape @ np.diag(flips) * (zoom / frame.scale)
    shift = rng.uniform(-1, 1, 2) * strength.shift_px
    grid = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in frame.size), indexing="ij"), axis=-1)
    positions: NDArray[np.float32] = (grid @ matrix.T + np.asarray(centre) + shift).astype(np.float32)
    if strength.elastic_px and rng.random() < strength.chance:
        coarse = rng.normal(0.0, strength.elastic_px, (6, 6, 2)).astype(np.float32)
        positions += cv2.resize(coarse, frame.size[::-1], interpolation=cv2.INTER_CUBIC)
    return positions


def sample(array: NDArray[np.uint8], positions: NDArray[np.float32], *, nearest: bool) -> NDArray[np.uint8]:
    """Read an array of axes (x, y) or (x, y, channel) at the given positions; outside it is 0."""
    interpolation = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    columns = np.ascontiguousarray(positions[..., 1])
    rows = np.ascontiguousarray(positions[..., 0])
    return np.asarray(
        cv2.remap(array, columns, rows, interpolation, borderMode=cv2.BORDER_CONSTANT), dtype=np.uint8
    )


def change_intensity(
    rng: np.random.Generator, image: NDArray[np.uint8], strength: Augmentation
) -> NDArray[np.uint8]:
    """Change gamma, contrast, gain, brightness, shading, sharpness and noise of an image (x, y, channel)."""

    def happens(amount: float) -> bool:
        return bool(amount) and rng.random() < strength.chance

    values: NDArray[Any] = image.astype(np.float32) / 255.0
    if happens(strength.blur_px):
        values = cv2.GaussianBlur(values, (0, 0), max(rng.uniform(0, strength.blur_px), 0.05))
    if happens(strength.bias):
        coarse = rng.uniform(-strength.bias, strength.bias, (3, 3)).astype(np.float32)
        field = cv2.resize(coarse, values.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        values = values * np.exp(field)[..., None]
    if happens(strength.gamma):
        values = np.clip(values, 0.0, 1.0) ** np.float32(np.exp(rng.uniform(-1, 1) * strength.gamma))
    if happens(strength.contrast):
        values = values * np.float32(np.exp(rng.uniform(-1, 1) * np.log1p(strength.contrast)))
    if happens(strength.gain):
        values = values * np.float32(np.exp(rng.uniform(-1, 1) * strength.gain))
    if happens(strength.brightness):
        values = values + np.float32(rng.uniform(-1, 1) * strength.brightness) * (values > 0.02)
    if happens(strength.noise):
        sigma = np.float32(rng.uniform(0, strength.noise))
        values = np.abs(values + sigma * rng.standard_normal(values.shape, dtype=np.float32))
    return np.asarray(np.clip(values * 255.0 + 0.5, 0, 255), dtype=np.uint8)


def augment(
    rng: np.random.Generator,
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    strength: Augmentation,
    *,
    frame: Frame,
    centre: tuple[float, float],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Change an image (x, y, 3) and its mask (x, y) together; see `sampling_map` for frame and centre."""
    if strength.strip and rng.random() < strength.strip:
        image = strip_skull(image, mask, StripSettings(), rng)
    positions = sampling_map(rng, strength, frame, centre)
    moved = sample(image, positions, nearest=False)
    return change_intensity(rng, moved, strength), sample(mask, positions, nearest=True)
