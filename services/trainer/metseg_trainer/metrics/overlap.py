"""How far two masks cover the same voxels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Overlap:
    """Voxel by voxel, all between 0 and 1; all 1 where both masks are empty and all 0 where one of them is.

    Attributes:
        dice: Twice the common voxels over the sum of both (Dice, Ecology 1945).
        iou: The common voxels over those of either (Jaccard, 1901).
        precision: Share of the predicted voxels that are true.
        recall: Share of the true voxels that are predicted.
    """

    dice: float
    iou: float
    precision: float
    recall: float


def overlap(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Overlap:
    """Compare two masks of one shape."""
    true, found = int(np.count_nonzero(truth)), int(np.count_nonzero(predicted))
    return overlap_of_counts(true, found, int(np.count_nonzero(truth & predicted)))


def overlap_of_counts(true: int, found: int, common: int) -> Overlap:
    """Compare two masks by their numbers of voxels."""
    if true + found == 0:
        return Overlap(1.0, 1.0, 1.0, 1.0)
    return Overlap(
        dice=2 * common / (true + found),
        iou=common / (true + found - common),
        precision=common / found if found else 0.0,
        recall=common / true if true else 0.0,
    )
