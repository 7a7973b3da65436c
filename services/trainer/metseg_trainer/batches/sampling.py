"""The slices of a source, sorted by whether they show a lesion, and what an epoch draws of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metseg.errors import InputError
from metseg_trainer.batches.shares import Share
from metseg_trainer.datasets.prepared_cases import PreparedCase
from metseg_trainer.implants import Implanter

HARD_SHARE = 0.5
"""Of the slices without lesion, the share that hard negatives fill."""


@dataclass(frozen=True, eq=False)
class Pool:
    """The slices of one source.

    Attributes:
        cases: The source's cases.
        share: How much of each epoch they fill.
        with_lesion: (n, 2) indices of case and slice.
        without_lesion: The same for kept slices that show no lesion.
        hard: Those without lesion that were mined; see `metseg_trainer.batches.hard_negatives`.
        implanter: Paints lesions into the part of the slices that `share.implants` says; None into none.
    """

    cases: Sequence[PreparedCase]
    share: Share
    with_lesion: NDArray[np.intp]
    without_lesion: NDArray[np.intp]
    hard: NDArray[np.intp] = field(default_factory=lambda: _pairs([]))
    implanter: Implanter | None = None

    def spacing_of(self, case: PreparedCase) -> tuple[float, float, float]:
        """Return the distances of a case's pixels and slices in mm, as implants have them."""
        x_mm, y_mm, slice_mm = case.spacing_mm
        return x_mm, y_mm, self.share.slice_mm or slice_mm

    def draw(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """Draw one epoch's slices, (share.slices, 2); none twice before all of its kind were taken.

        Where hard negatives were mined, they fill `HARD_SHARE` of the slices without lesion.
        """
        fraction = self.share.lesion_fraction
        if not len(self.without_lesion):
            fraction = 1.0
        elif not len(self.with_lesion):
            fraction = 0.0
        lesions = round(self.share.slices * fraction)
        hard = round((self.share.slices - lesions) * HARD_SHARE) if len(self.hard) else 0
        return np.concatenate(
            [
                _take(rng, self.with_lesion, lesions),
                _take(rng, self.without_lesion, self.share.slices - lesions - hard),
                _take(rng, self.hard, hard),
            ]
        )


def make_pool(cases: Sequence[PreparedCase], share: Share) -> Pool:
    """Sort the slices of a source by whether they show a lesion.

    Raises:
        InputError: No case has a slice that shows head.
    """
    with_lesion: list[tuple[int, int]] = []
    without_lesion: list[tuple[int, int]] = []
    for index, case in enumerate(cases):
        marked = np.isin(case.kept, case.lesion_slices())
        with_lesion += [(index, int(z)) for z in case.kept[marked]]
        without_lesion += [(index, int(z)) for z in case.kept[~marked]]
    if not with_lesion and not without_lesion:
        raise InputError(f"{len(cases)} cases hold no slice to train on.")
    return Pool(cases, share, _pairs(with_lesion), _pairs(without_lesion))


def _pairs(pairs: list[tuple[int, int]]) -> NDArray[np.intp]:
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)


def _take(rng: np.random.Generator, pairs: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    if count == 0:
        return pairs[:0]
    rounds = -(-count // len(pairs))
    order = np.concatenate([rng.permutation(len(pairs)) for _ in range(rounds)])
    taken: NDArray[np.intp] = pairs[order[:count]]
    return taken
