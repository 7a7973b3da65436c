"""One scan through a model: prepare, predict, back to the source grid, lesions.

The network is an argument, so worker and evaluation run the same code, and a test can put a rule in its place.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metseg.errors import ServingContractError
from metseg.imaging.scan import Scan
from metseg.imaging.volume import Volume
from metseg.inference.preprocessing import Prepared, prepare
from metseg.lesions.confidence import with_confidence
from metseg.lesions.disagreement import with_disagreement
from metseg.lesions.find import LesionRules, find_lesions
from metseg.schemas.job import Stage
from metseg.schemas.model_card import ModelCard
from metseg.schemas.report import Lesion

BATCH = 8
"""Slices per call of a network."""

Batches = Iterable[NDArray[np.uint8]]
Predict = Callable[[Batches], Iterator[NDArray[np.float32]]]
"""Takes batches (n, size, size, 3) uint8, yields probabilities (n, size, size, 1) in the same order."""

OnProgress = Callable[[Stage, int, int], None]
"""Called with the stage that begins or goes on, slices done and slices in all."""


@dataclass(frozen=True)
class Network:
    """A network with the card that says how a scan is prepared for it."""

    card: ModelCard
    predict: Predict


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
    on_progress: OnProgress | None = None,
) -> Segmentation:
    """Find the lesions of a scan by one network, of which the card says all; otherwise as `segment_by_mean`."""
    networks = [Network(card, predict)]
    return segment_by_mean(scan, card, networks, threshold=threshold, on_progress=on_progress)


def segment_by_mean(
    scan: Scan,
    card: ModelCard,
    networks: Sequence[Network],
    *,
    threshold: float | None = None,
    excluded: NDArray[np.bool_] | None = None,
    on_progress: OnProgress | None = None,
) -> Segmentation:
    """Find the lesions of a scan by the mean of what several networks say.

    Args:
        scan: As it was read.
        card: Gives threshold and smallest lesion.
        networks: At least one; each sees the scan prepared as its own card says. Of several, each lesion tells how
            far they disagree.
        threshold: In place of the card's, above 0 and below 1.
        excluded: Voxels (x, y, z) in which no lesion is searched; the probability there stays.
        on_progress: Told of each stage and after each batch, with the slices of all networks counted together;
            what it raises ends the work. None tells nobody.

    Raises:
        UnsupportedInputError: every voxel has the same value.
        ServingContractError: a network answered another number or size of slices.
    """
    threshold = card.threshold if threshold is None else threshold
    tell = on_progress or _tell_nobody
    tell(Stage.PREPARE, 0, 0)
    by_rules = {rules: prepare(scan, rules) for rules in dict.fromkeys(one.card.preprocessing for one in networks)}
    prepared = [by_rules[one.card.preprocessing] for one in networks]
    done, total = 0, sum(len(one.kept) for one in prepared)

    def count(slices: int) -> None:
        nonlocal done
        done += slices
        tell(Stage.PREDICT, done, total)

    count(0)
    seen = [_ask(one, network.predict, count) for one, network in zip(prepared, networks, strict=True)]
    tell(Stage.FINISH, total, total)
    probability = _mean(_restored(prepared, seen), len(networks))
    rules = LesionRules(card.min_lesion_mm3, card.min_lesion_px, scan.is_picture, scan.has_spacing)
    over = probability.with_array(probability.array >= threshold)
    if excluded is not None:
        over = over.with_array(over.array & ~excluded)
    lesions, labels = find_lesions(over, probability.array, rules)
    if len(networks) > 1:
        lesions = with_disagreement(lesions, labels, _restored(prepared, seen))
    return Segmentation(
        probability=probability,
        mask=probability.with_array((labels > 0).astype(np.uint8)),
        labels=probability.with_array(labels),
        lesions=with_confidence(lesions, card, threshold),
        threshold=threshold,
        coarsened=scan.has_spacing
        and any(one.grid.window[0].spacing > rules.spacing_mm for rules, one in by_rules.items()),
    )


def _ask(prepared: Prepared, predict: Predict, count: Callable[[int], None]) -> NDArray[np.float32]:
    """Ask a network about every kept slice, as (slices, size, size); `count` is told of each batch."""
    total, size = len(prepared.kept), prepared.pixels.shape[-1]
    seen = np.zeros((total, size, size), np.float32)
    done = 0
    for answer in predict(prepared.batches(BATCH)):
        expected = (min(BATCH, total - done), size, size, 1)
        if answer.shape != expected:
            raise ServingContractError(f"expected probabilities of shape {expected}, got {answer.shape}")
        seen[done : done + len(answer)] = answer[..., 0]
        done += len(answer)
        count(len(answer))
    if done != total:
        raise ServingContractError(f"expected {total} slices back, got {done}")
    return seen


def _restored(prepared: Sequence[Prepared], seen: Sequence[NDArray[np.float32]]) -> Iterator[Volume]:
    """What each network saw, on the source grid; made one by one, for together they may not fit into memory."""
    return (one.restore(values) for one, values in zip(prepared, seen, strict=True))


def _mean(views: Iterator[Volume], count: int) -> Volume:
    total = next(views)
    for view in views:
        total = total.with_array(total.array + view.array)
    return total.with_array(total.array / np.float32(count))


def _tell_nobody(_stage: Stage, _done: int, _total: int) -> None:
    """Stand in for a progress display that was not asked for."""
