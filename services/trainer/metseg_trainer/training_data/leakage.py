"""Images that stand on both sides of a split, the same file or nearly the same picture.

A picture is known by its fingerprint: made small, freed of its slow changes, and of length 1, so that the product
of two fingerprints is their correlation. Noise, another file format, another brightness or contrast and another
size leave it as it is; another head does not.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from metseg.errors import InputError
from metseg_trainer.datasets import Case
from metseg_trainer.datasets.cases import files_of
from metseg_trainer.datasets.prepared_cases import PreparedCase

SIDE = 64
SLOW_PX = 4.0
"""Standard deviation of the Gaussian whose blur is taken off, in pixels of the fingerprint."""

NEAR = 0.95
"""From this correlation on two pictures are one.

On the 518 Cheng slices copies with noise, JPEG artefacts, half the resolution, another gamma or local equalisation
stay above 0.96, while of the two sides of the split no pair is above 0.85 and neighbours in one head are below."""

FLAT = 2.0
"""A picture whose deviation of grey values (0 to 255) is less after the blur is taken off shows nothing."""

MIDDLE = (0.25, 0.75)
"""Slices of a volume between these shares of its head are looked at."""

MOST_TRAINING_SLICES = 5
"""Of a training volume, evenly spread; all slices of the middle of a validation volume are compared with them."""


@dataclass(frozen=True)
class Copy:
    """Two images that are one.

    Attributes:
        train: The image that trains.
        validation: The image that is kept apart.
        correlation: Of their fingerprints; 1 for the same file.
    """

    train: Path
    validation: Path
    correlation: float


def fingerprints(slices: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Take the fingerprints of (n, x, y) slices, (n, SIDE²); a slice that shows nothing has one of zeros."""
    prints = np.zeros((len(slices), SIDE * SIDE), np.float32)
    for target, one in zip(prints, slices, strict=True):
        small = cv2.resize(np.ascontiguousarray(one, np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        detail = small - cv2.GaussianBlur(small, (0, 0), SLOW_PX)
        if detail.std() >= FLAT:
            target[:] = (detail / np.linalg.norm(detail)).reshape(-1)
    return prints


def find_same_files(train: Iterable[Case], validation: Iterable[Case]) -> Copy | None:
    """Find an image file that stands on both sides; only files of equal size are read."""
    sizes: dict[tuple[int, ...], list[Case]] = defaultdict(list)
    for case in train:
        sizes[_sizes(case)].append(case)
    for case in validation:
        for other in sizes.get(_sizes(case), ()):
            if _content(other) == _content(case):
                return Copy(other.image, case.image, 1.0)
    return None


def find_near_copy(
    train: Sequence[tuple[Case, PreparedCase]], validation: Iterable[tuple[Case, PreparedCase]]
) -> Copy | None:
    """Find the picture kept apart that is likest one that trains, if it is nearly the same."""
    owners = [case for case, made in train for _ in range(len(_spread(made)))]
    if not owners:
        return None
    known = np.concatenate([fingerprints(made.pixels[_spread(made)]) for _, made in train])
    likest: Copy | None = None
    for case, made in validation:
        similarity = fingerprints(made.pixels[_middle(made)]) @ known.T
        at = int(similarity.max(axis=0).argmax())
        correlation = float(similarity[:, at].max())
        if correlation >= NEAR and (likest is None or correlation > likest.correlation):
            likest = Copy(owners[at].image, case.image, correlation)
    return likest


def expect_no_copies(
    train: Sequence[tuple[Case, PreparedCase]], validation: Sequence[tuple[Case, PreparedCase]]
) -> None:
    """Stop where an image trains and is kept apart too.

    Raises:
        InputError: The message names both files.
    """
    same = find_same_files((case for case, _ in train), (case for case, _ in validation))
    if same is not None:
        raise InputError(f"{same.train} trains, and {same.validation}, kept for validation, is the same file.")
    near = find_near_copy(train, validation)
    if near is not None:
        raise InputError(
            f"{near.train} trains, and {near.validation}, kept for validation, is nearly the same image "
            f"(correlation {near.correlation:.3f}, allowed below {NEAR:g})."
        )


def _middle(made: PreparedCase) -> NDArray[np.intp]:
    low, high = (round(share * (len(made.kept) - 1)) for share in MIDDLE)
    return made.kept[max(low, 0) : high + 1]


def _spread(made: PreparedCase) -> NDArray[np.intp]:
    middle = _middle(made)
    spread: NDArray[np.intp] = middle[np.unique(np.linspace(0, len(middle) - 1, MOST_TRAINING_SLICES).astype(int))]
    return spread


def _sizes(case: Case) -> tuple[int, ...]:
    return tuple(path.stat().st_size for path in files_of(case.image))


def _content(case: Case) -> bytes:
    total = hashlib.sha256()
    for path in files_of(case.image):
        total.update(path.read_bytes())
    return total.digest()
