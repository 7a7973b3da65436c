"""What is found and what is false at many thresholds and smallest lesions, and the free-response curve of both.

A predicted part belongs to lesions as in `metseg_trainer.metrics.lesionwise`. Sorting a threshold's parts once
(`list_parts`) answers for any smallest lesion.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metseg_trainer.metrics.lesionwise import TrueLesions, find_parts
from metseg_trainer.metrics.overlap import overlap_of_counts


@dataclass(frozen=True)
class Detection:
    """Counts of one case.

    Attributes:
        dice: Voxel by voxel.
        lesions: Lesions of the truth that count.
        found: Of these.
        false_lesions: Predicted parts that touch no lesion.
    """

    dice: float
    lesions: int
    found: int
    false_lesions: int


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of one case's prediction at one threshold.

    Attributes:
        voxels: (parts,) size of each.
        true_voxels: (parts,) how many of them are true.
        pairs: (n, 2) lesion and part that touch, numbered from 1 on.
        lesions: The truth.
    """

    voxels: NDArray[np.intp]
    true_voxels: NDArray[np.intp]
    pairs: NDArray[np.int32]
    lesions: TrueLesions

    def detect(self, smallest: float = 0.0, *, lesion_from_mm: float = 0.0) -> Detection:
        """Count what is left when smaller parts are dropped.

        Args:
            smallest: In voxels.
            lesion_from_mm: Smaller lesions of the truth (by the ball of equal volume) are neither counted nor
                missed, and what touches them is not false.
        """
        kept = self.voxels >= smallest
        pairs = self.pairs[kept[self.pairs[:, 1] - 1]]
        counted = self.lesions.counted & (self.lesions.diameters_mm >= lesion_from_mm)
        found = np.unique(pairs[:, 0])
        return Detection(
            dice=overlap_of_counts(
                int(self.lesions.voxels.sum()), int(self.voxels[kept].sum()), int(self.true_voxels[kept].sum())
            ).dice,
            lesions=int(counted.sum()),
            found=int(counted[found - 1].sum()),
            false_lesions=int(kept.sum()) - len(np.unique(pairs[:, 1])),
        )


def list_parts(lesions: TrueLesions, predicted: NDArray[np.bool_]) -> Parts:
    """Sort the parts of a prediction, which has the shape of the truth."""
    parts = find_parts(predicted, lesions.rules)
    count = int(parts.max(initial=0)) + 1
    true_voxels = np.bincount(parts[lesions.numbers > 0], minlength=count)[1:]
    voxels = np.bincount(parts.reshape(-1), minlength=count)[1:]
    return Parts(voxels, true_voxels, lesions.touching(parts), lesions)


@dataclass(frozen=True)
class CurvePoint:
    """One threshold of the free-response curve (Bunch et al., 1978).

    Attributes:
        threshold: Probability from which a voxel counts as lesion.
        sensitivity: Share of all lesions of all cases that are found; None where there are none.
        false_lesions: Mean number a case.
    """

    threshold: float
    sensitivity: float | None
    false_lesions: float


def curve_point(threshold: float, detections: Sequence[Detection]) -> CurvePoint:
    """Sum up one threshold's cases, of which there is at least one."""
    lesions = sum(detection.lesions for detection in detections)
    found = sum(detection.found for detection in detections)
    false = sum(detection.false_lesions for detection in detections)
    return CurvePoint(threshold, found / lesions if lesions else None, false / len(detections))
