"""Volumes with known answers: a head with a bright ball at known millimetres, in any orientation."""

from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metseg.imaging.volume import Volume
from metseg.schemas.model_card import Intensity, ModelCard, Preprocessing

ORIENTATIONS = [
    tuple(pair[flip] for pair, flip in zip(axes, flips, strict=True))
    for axes in permutations(("LR", "PA", "IS"))
    for flips in product((0, 1), repeat=3)
]
"""All 48 ways to store three anatomical axes, as axis codes."""

HEAD_GREY = 100
BALL_GREY = 1000


def affine_of(
    codes: tuple[str, str, str],
    spacing_mm: tuple[float, float, float],
    rotation: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """An affine whose axes grow along `codes`, turned by a rotation, without its origin."""
    directions = {
        "R": (1, 0, 0),
        "L": (-1, 0, 0),
        "A": (0, 1, 0),
        "P": (0, -1, 0),
        "S": (0, 0, 1),
        "I": (0, 0, -1),
    }
    affine = np.eye(4)
    axes = np.array([directions[code] for code in codes], dtype=np.float64).T * spacing_mm
    affine[:3, :3] = axes if rotation is None else rotation @ axes
    return affine


def centred(
    affine: NDArray[np.float64], shape: tuple[int, int, int], centre_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The affine with its origin set so that the middle of the array lies at a point."""
    moved = affine.copy()
    moved[:3, 3] = centre_mm - moved[:3, :3] @ ((np.array(shape) - 1) / 2)
    return moved


def distances_mm(
    shape: tuple[int, int, int], affine: NDArray[np.float64], point_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of each voxel's centre from a point."""
    grid = np.moveaxis(np.indices(shape, dtype=np.float64), 0, -1)
    return np.asarray(np.linalg.norm(grid @ affine[:3, :3].T + affine[:3, 3] - point_mm, axis=-1))


def head_with_ball(
    shape: tuple[int, int, int],
    affine: NDArray[np.float64],
    ball_mm: NDArray[np.float64],
    radius_mm: float,
    head_radius_mm: float,
) -> Volume:
    """A grey ball of a head around the middle of the grid, in it a bright ball; air is 0."""
    middle = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    array = np.zeros(shape, np.int16)
    array[distances_mm(shape, affine, middle) <= head_radius_mm] = HEAD_GREY
    array[distances_mm(shape, affine, ball_mm) <= radius_mm] = BALL_GREY
    return Volume(array, affine)


def bright_is_lesion(batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
    """A deterministic predictor in the network's place: the brighter the middle channel, the surer."""
    for batch in batches:
        yield batch[..., 1:2].astype(np.float32) / 255


def png(shape: tuple[int, int] = (512, 512)) -> bytes:
    """A picture of a grey disc with one bright oblong."""
    rows, columns = np.indices(shape)
    pixels = np.where(np.hypot(rows - 256, columns - 256) < 200, 80, 0)
    pixels[100:130, 300:340] = 255
    buffer = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def card(**changes: object) -> ModelCard:
    """A model card for tests, its grey values running from the darkest to the brightest voxel."""
    fields: dict[str, object] = {
        "name": "attention_unet", "version": 1, "network": "attention_unet", "preset": "tiny",
        "preprocessing": Preprocessing(intensity=Intensity(low=0, high=100)),
        "threshold": 0.5, "min_lesion_mm3": 0, "min_lesion_px": 0,
        "parameters": 1, "gflop_per_slice": 1, "training_data": [], "scores": [], "weights_sha256": "0" * 64,
        "software": {}, "intended_use": "tests", "limits": [], "licence": "CC-BY-4.0",
        "created_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return ModelCard.model_validate(fields | changes)
