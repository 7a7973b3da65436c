"""Batches for training on any Keras backend: numpy in, numpy out, no state but the seed and the epoch.

Each epoch takes a set number of slices from each source, a set share of them with lesion. Slice `i` of epoch `e`
is changed by a generator seeded with (seed, e, i), so an epoch can be made again at any time, in any order.
"""

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from metseg_trainer.augment import Augmentation, Frame, augment
from metseg_trainer.pools import Pool

Batch = tuple["NDArray[np.uint8]", "NDArray[np.uint8]"]

LOADERS = 2
"""Threads that make batches; NumPy and OpenCV let go of the interpreter while they work."""

QUEUED_BATCHES = 16
"""Batches that may lie ready."""


class SliceDataset(keras.utils.PyDataset):
    """One epoch of training batches: slices uint8 (n, w, h, 3) and masks uint8 (n, w, h, 1).

    `LOADERS` threads make batches ahead of the step, in order; other numbers may be set as for any PyDataset.
    """

    def __init__(
        self, pools: Sequence[Pool], *, batch: int, frame: Frame, strength: Augmentation, seed: int, epoch: int
    ) -> None:
        super().__init__(workers=LOADERS, max_queue_size=QUEUED_BATCHES)
        self._pools = pools
        self._batch = batch
        self._frame = frame
        self._strength = strength
        self._seed = (seed, epoch)
        rng = np.random.default_rng((seed, epoch))
        drawn = [
            np.column_stack([np.full(pool.share.slices, number), pool.draw(rng)])
            for number, pool in enumerate(pools)
        ]
        self._order = rng.permutation(np.concatenate(drawn))

    def __len__(self) -> int:
        """Return the number of full batches."""
        return len(self._order) // self._batch

    def __getitem__(self, index: int) -> Batch:
        """Return one batch."""
        pairs = [self._slice(i) for i in range(index * self._batch, (index + 1) * self._batch)]
        images, masks = zip(*pairs, strict=True)
        return np.stack(images), np.stack(masks)[..., None]

    def _slice(self, i: int) -> Batch:
        number, case_index, z = self._order[i]
        pool = self._pools[number]
        case = pool.cases[case_index]
        rng = np.random.default_rng((*self._seed, i))
        image = case.stack(z, lone=rng.random() < pool.share.lone)
        return augment(rng, image, case.mask[z], self._strength, frame=self._frame, centre=case.centre)


def unchanged_slices(pools: Sequence[Pool], frame: Frame, seed: int = 0) -> list[Batch]:
    """Return each pool's share as it is, for validation: the same slices every time."""
    still = Augmentation()
    return [
        SliceDataset([pool], batch=pool.share.slices, frame=frame, strength=still, seed=seed, epoch=0)[0]
        for pool in pools
    ]
