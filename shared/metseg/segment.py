"""One scan through one model: prepare, predict, back to the source grid, lesions.

The network is an argument, so worker and evaluation run the same code, and a test can put a rule in its place.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metseg.card import ModelCard
from metseg.confidence import with_confidence
from metseg.errors import ServingContractError
from metseg.jobs import Stage
from metseg.lesions import LesionRules, find_lesions
from metseg.prepare import prepare
from metseg.report import Lesion
from metseg.scan import Scan
from metseg.volume import Volume

Batches = Iterable[NDArray[np.uint8]]
Predict = Callable[[Batches], Iterator[NDArray[np.float32]]]
"""Takes batches (n, size, size, 3) uint8, yields probabilities (n, size, size, 1) in the same order."""

OnProgress = Callable[[Stage, int, int], None]
"""Called with the stage that begins or goes on, slices done and slices in all."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What was found, on the source grid.

    Attributes:
        probability: float32, 0…1.
        mask: uint8 of 0 and 1, without the components that are too small.
        labels: uint16, the lesion's number in each of its voxels.
        lesions: Largest first.
        threshold: What made the mask out of the probability.
        coarsened: Whether the head was larger than the network's window and was seen at a coarser spacing.
    """

    probability: Volume
    mask: Volume
    labels: Volume
    lesions: list[Lesion]
    threshold: float
    coarsened: bool


def segment(
    scan: Scan,
    card: ModelCard,
    predict: Predict,
    *,
    threshold: float | None = None,
    batch: int = 8,
    on_progress: OnProgress | None = None,
) -> Segmentation:
    """Find the lesions of a scan.

    Args:
        scan: As it was read.
        card: Gives preprocessing, threshold and smallest lesion.
        predict: The network.
        threshold: In place of the card's, above 0 and below 1.
        batch: Slices per call of the network.
        on_progress: Told of each stage and after each batch; what it raises ends the work. None tells nobody.

    Raises:
        UnsupportedInputError: every voxel has the same value.
        ServingContractError: the network answered another number or size of slices.
    """
    threshold = card.threshold if threshold is None else threshold
    tell = on_progress or _tell_nobody
    tell(Stage.PREPARE, 0, 0)
    prepared = prepare(scan, card.preprocessing)
    total, size = len(prepared.kept), card.preprocessing.size
    seen = np.zeros((total, size, size), np.float32)
    done = 0
    tell(Stage.PREDICT, 0, total)
    for answer in predict(prepared.batches(batch)):
        expected = (min(batch, total - done), size, size, 1)
        if answer.shape != expected:
            raise ServingContractError(f"expected probabilities of shape {expected}, got {answer.shape}")
        seen[done : done + len(answer)] = answer[..., 0]
        done += len(answer)
        tell(Stage.PREDICT, done, total)
    if done != total:
        raise ServingContractError(f"expected {total} slices back, got {done}")
    tell(Stage.FINISH, total, total)
    probability = prepared.restore(seen)
    rules = LesionRules(card.min_lesion_mm3, card.min_lesion_px, scan.is_picture, scan.has_spacing)
    over = probability.with_array(probability.array >= threshold)
    lesions, labels = find_lesions(over, probability.array, rules)
    return Segmentation(
        probability=probability,
        mask=probability.with_array((labels > 0).astype(np.uint8)),
        labels=probability.with_array(labels),
        lesions=with_confidence(lesions, card, threshold),
        threshold=threshold,
        coarsened=scan.has_spacing and prepared.grid.window[0].spacing > card.preprocessing.spacing_mm,
    )


def _tell_nobody(_stage: Stage, _done: int, _total: int) -> None:
    """Stand in for a progress display that was not asked for."""
