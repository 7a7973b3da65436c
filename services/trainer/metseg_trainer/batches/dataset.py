"""Batches for training on any Keras backend: numpy in, numpy out, no state but the seed and the epoch.

Each epoch takes a set number of slices from each source, a set share of them with lesion. Slice `i` of epoch `e`
is changed by a generator seeded with (seed, e, i), so an epoch can be made again at any time, in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from metseg_trainer.batches.augmentation import Augmentation, Frame, augment
from metseg_trainer.batches.sampling import Pool

Batch = tuple["NDArray[np.uint8]", "NDArray[np.uint8]"]

LOADERS = 2
"""Threads that make batches; NumPy and OpenCV let go of the interpreter while they work."""

WEIGHT_ONE = 64
"""How a weight of 1 is written in the second channel of a mask (uint8)."""

HEAVY_BELOW_MM2 = 200.0
"""Lesions of a smaller area in a slice weigh more than 1."""

HEAVIEST = 3.0

QUEUED_BATCHES = 16
"""Batches that may lie ready."""

IMPLANTS = 1
"""Names the random numbers of a slice's implants beside (seed, epoch, index), so that they change nothing else."""


@dataclass(frozen=True)
class Sampling:
    """How training samples are made of slices.

    Attributes:
        batch: Slices a batch.
        frame: The part of a slice that training sees.
        strength: How strongly slices are changed.
        weighted: Give masks a second channel, the weights of `component_weights`.
    """

    batch: int
    frame: Frame
    strength: Augmentation = Augmentation()
    weighted: bool = False


class SliceDataset(keras.utils.PyDataset):
    """One epoch of training batches: slices uint8 (n, w, h, 3) and masks uint8 (n, w, h, 1 or 2).

    `LOADERS` threads make batches ahead of the step, in order; other numbers may be set as for any PyDataset.
    """

    def __init__(self, pools: Sequence[Pool], sampling: Sampling, *, seed: int, epoch: int) -> None:
        super().__init__(workers=LOADERS, max_queue_size=QUEUED_BATCHES)
        self._pools = pools
        self._sampling = sampling
        self._seed = (seed, epoch)
        rng = np.random.default_rng((seed, epoch))
        drawn = [
            np.column_stack([np.full(pool.share.slices, number), pool.draw(rng)])
            for number, pool in enumerate(pools)
        ]
        self._order = rng.permutation(np.concatenate(drawn))

    def __len__(self) -> int:
        """Return the number of full batches."""
        return len(self._order) // self._sampling.batch

    def __getitem__(self, index: int) -> Batch:
        """Return one batch."""
        sampling = self._sampling
        pairs = [self._slice(i) for i in range(index * sampling.batch, (index + 1) * sampling.batch)]
        images, masks = zip(*pairs, strict=True)
        if sampling.weighted:
            truth = [np.stack([mask, component_weights(mask, sampling.frame.scale)], axis=-1) for mask in masks]
            return np.stack(images), np.stack(truth)
        return np.stack(images), np.stack(masks)[..., None]

    def _slice(self, i: int) -> Batch:
        number, case_index, z = self._order[i]
        pool = self._pools[number]
        case = pool.cases[case_index]
        rng = np.random.default_rng((*self._seed, i))
        image, mask = case.stack(z, lone=rng.random() < pool.share.lone), case.classes(z)
        if pool.implanter is not None:
            painting = np.random.default_rng((*self._seed, i, IMPLANTS))
            if painting.random() < pool.share.implants:
                mask = np.ascontiguousarray(mask)
                image, mask = pool.implanter.add(image, mask, pool.spacing_of(case), painting)
        sampling = self._sampling
        return augment(rng, image, mask, sampling.strength, frame=sampling.frame, centre=case.centre)


def component_weights(mask: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Weigh the pixels of small lesions up, so that a loss does not forget them beside large ones.

    Args:
        mask: (w, h), above 0 where a lesion is.
        scale: Pixels of the mask per pixel of about 1 mm.

    Returns:
        (w, h) in units of 1 / `WEIGHT_ONE`: 1 outside of lesions, in each lesion of area a the root of
        `HEAVY_BELOW_MM2` / a, from 1 to `HEAVIEST`.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8), connectivity=8)
    area_mm2 = np.maximum(stats[:, cv2.CC_STAT_AREA], 1) / scale**2
    weights = np.clip(np.sqrt(HEAVY_BELOW_MM2 / area_mm2), 1.0, HEAVIEST)
    weights[0] = 1.0
    return np.asarray(np.rint(weights * WEIGHT_ONE).astype(np.uint8)[labels])


def unchanged_slices(pools: Sequence[Pool], frame: Frame, seed: int = 0) -> list[Batch]:
    """Return each pool's share as it is, for validation: the same slices every time."""
    return [SliceDataset([pool], Sampling(pool.share.slices, frame), seed=seed, epoch=0)[0] for pool in pools]
