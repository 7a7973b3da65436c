"""Lesion by lesion, as BraTS-METS defines it.

Source: the organisers' public code, BraTS-2023-Metrics (edition 2023) and BraTS-2024-Metrics (`metrics_MET.py`).
Parts of the truth belong to one lesion when they touch, by a corner too, after one dilation; a lesion's voxels
stay as they are. Every connected part of the prediction that touches a dilated lesion belongs to that lesion, and
may belong to several. A part that touches none is false, however small. Lesions of 2 mm³ and less are neither
counted nor missed, and what touches one is not false.
"""

from dataclasses import dataclass
from functools import cached_property

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from metseg_trainer.metrics.overlap import overlap_of_counts
from metseg_trainer.metrics.surface import Spacing, compare_surfaces

NEIGHBOURHOOD = ndimage.generate_binary_structure(3, 2)
"""One dilation goes over faces and edges, not over corners."""

Numbers = NDArray[np.int32]


@dataclass(frozen=True)
class LesionwiseRules:
    """What differs between the editions of the challenge.

    Attributes:
        ignored_mm3: Lesions of this volume and less do not count.
        merge_predicted: Whether parts of the prediction too are one where they touch after a dilation.
        ignored_predicted_voxels: Predicted parts of so many voxels and less are dropped.
        penalty_mm: Hausdorff distance of a missed or a false lesion; None takes the image's diagonal in voxels.
    """

    ignored_mm3: float = 2.0
    merge_predicted: bool = False
    ignored_predicted_voxels: int = 0
    penalty_mm: float | None = 374.0

    def penalty(self, shape: tuple[int, ...]) -> float:
        """Return the distance that stands for a lesion without its match."""
        return float(np.linalg.norm(shape)) if self.penalty_mm is None else self.penalty_mm


METS_2023 = LesionwiseRules()
METS_2024 = LesionwiseRules(merge_predicted=True, ignored_predicted_voxels=2, penalty_mm=None)


@dataclass(frozen=True)
class LesionResult:
    """How one lesion of the truth came out.

    Attributes:
        volume_mm3: Of the lesion; its pixels for a picture.
        dice: Of the lesion with all predicted parts that touch it; 0 where none does.
        hd95: Of the same, in mm or pixels; the penalty where none does.
        found: Whether one does.
    """

    volume_mm3: float
    dice: float
    hd95: float
    found: bool

    @property
    def diameter_mm(self) -> float:
        """Diameter of the ball of equal volume."""
        return ball_diameter(self.volume_mm3)


@dataclass(frozen=True)
class Lesionwise:
    """One case, lesion by lesion.

    Attributes:
        lesions: Those of the truth that count.
        false_lesions: Predicted parts that touch no lesion.
        penalty: Distance that stands for a lesion without its match.
    """

    lesions: tuple[LesionResult, ...]
    false_lesions: int
    penalty: float = 374.0

    @property
    def dice(self) -> float:
        """Sum of the lesions' Dice over lesions and false lesions; 1 where there are neither."""
        judged = len(self.lesions) + self.false_lesions
        return sum(lesion.dice for lesion in self.lesions) / judged if judged else 1.0

    @property
    def hd95(self) -> float:
        """The same mean of distances, each false lesion at the penalty; 0 where there are neither."""
        judged = len(self.lesions) + self.false_lesions
        total = sum(lesion.hd95 for lesion in self.lesions) + self.false_lesions * self.penalty
        return total / judged if judged else 0.0

    @property
    def found(self) -> int:
        """Lesions that were found."""
        return sum(lesion.found for lesion in self.lesions)

    @property
    def sensitivity(self) -> float | None:
        """Share of the lesions that were found; None where there are none."""
        return self.found / len(self.lesions) if self.lesions else None

    @property
    def precision(self) -> float | None:
        """Found lesions over found and false ones; None where there are neither."""
        named = self.found + self.false_lesions
        return self.found / named if named else None

    @property
    def f1(self) -> float:
        """Harmonic mean of the two; 1 where there are neither lesions nor false ones."""
        judged = self.found + self.false_lesions + len(self.lesions)
        return 2 * self.found / judged if judged else 1.0


@dataclass(frozen=True, eq=False)
class TrueLesions:
    """The truth, lesion by lesion, ready for many predictions.

    Attributes:
        numbers: (x, y, z), from 1 on, 0 elsewhere.
        reach: The same after the dilation: a predicted part belongs to the lesions into whose reach it comes.
        spacing: In mm, or 1 for pixels.
        rules: Of one edition.
    """

    numbers: Numbers
    reach: Numbers
    spacing: Spacing
    rules: LesionwiseRules

    @cached_property
    def voxels(self) -> NDArray[np.intp]:
        """Size of each lesion."""
        return np.bincount(self.numbers.reshape(-1), minlength=int(self.reach.max()) + 1)[1:]

    @property
    def volumes_mm3(self) -> NDArray[np.float64]:
        """Volume of each lesion."""
        return np.asarray(self.voxels * np.prod(self.spacing))

    @cached_property
    def diameters_mm(self) -> NDArray[np.float64]:
        """Diameter of the ball of each lesion's volume."""
        return np.array([ball_diameter(volume) for volume in self.volumes_mm3])

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Whether each lesion is large enough to count."""
        return np.asarray(self.volumes_mm3 > self.rules.ignored_mm3)

    def touching(self, parts: Numbers) -> NDArray[np.int32]:
        """Pair lesions with the predicted parts that touch them, (n, 2) numbers from 1 on."""
        both = (self.reach > 0) & (parts > 0)
        base = int(parts.max(initial=0)) + 1
        pairs = np.unique(self.reach[both].astype(np.int64) * base + parts[both])
        return np.column_stack([pairs // base, pairs % base]).astype(np.int32)


def find_true_lesions(
    truth: NDArray[np.bool_], spacing: Spacing, rules: LesionwiseRules = METS_2023
) -> TrueLesions:
    """Tell the lesions of the truth apart."""
    reach = _numbered(_dilated(truth))
    return TrueLesions(reach * truth, reach, spacing, rules)


def find_parts(predicted: NDArray[np.bool_], rules: LesionwiseRules = METS_2023) -> Numbers:
    """Tell the parts of a prediction apart, numbered from 1 on."""
    if not rules.merge_predicted:
        return _numbered(predicted)
    parts = _numbered(_dilated(predicted)) * predicted
    kept = np.bincount(parts.reshape(-1)) > rules.ignored_predicted_voxels
    kept[0] = False
    renumbered = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return np.asarray(renumbered[parts])


def lesionwise(
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    spacing: Spacing,
    rules: LesionwiseRules = METS_2023,
) -> Lesionwise:
    """Judge a prediction lesion by lesion.

    Args:
        truth: (x, y, z).
        predicted: The same shape.
        spacing: In mm, or 1 for pixels.
        rules: Of one edition.
    """
    penalty = rules.penalty(truth.shape)
    box = box_around(truth | predicted)
    lesions = find_true_lesions(truth[box], spacing, rules)
    parts = find_parts(predicted[box], rules)
    pairs = lesions.touching(parts)
    counted = [int(index) + 1 for index in np.flatnonzero(lesions.counted)]
    results = tuple(
        _judge_lesion(lesions, parts, number, pairs[pairs[:, 0] == number, 1], penalty) for number in counted
    )
    return Lesionwise(results, int(parts.max(initial=0)) - len(np.unique(pairs[:, 1])), penalty)


def ball_diameter(volume_mm3: float) -> float:
    """Return the diameter of the ball of a volume, in mm."""
    return float((6.0 * volume_mm3 / np.pi) ** (1 / 3))


def _judge_lesion(
    lesions: TrueLesions, parts: Numbers, number: int, matched: NDArray[np.int32], penalty: float
) -> LesionResult:
    volume = float(lesions.volumes_mm3[number - 1])
    if not len(matched):
        return LesionResult(volume, 0.0, penalty, found=False)
    inside = np.isin(parts, matched)
    box = box_around(inside | (lesions.numbers == number), margin=0)
    lesion, predicted = lesions.numbers[box] == number, inside[box]
    common = int(np.count_nonzero(lesion & predicted))
    dice = overlap_of_counts(int(lesion.sum()), int(predicted.sum()), common).dice
    surfaces = compare_surfaces(lesion, predicted, lesions.spacing)
    return LesionResult(volume, dice, surfaces.hausdorff95, found=True)


def box_around(mask: NDArray[np.bool_], margin: int = 2) -> tuple[slice, slice, slice]:
    """Return the smallest box around a mask, with room for what a dilation adds; one voxel for an empty mask."""
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    box = boxes[0] if boxes else (slice(0, 1),) * 3
    x, y, z = (
        slice(max(part.start - margin, 0), min(part.stop + margin, n))
        for part, n in zip(box, mask.shape, strict=True)
    )
    return x, y, z


def _dilated(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(ndimage.binary_dilation(mask, NEIGHBOURHOOD))


def _numbered(mask: NDArray[np.bool_]) -> Numbers:
    return np.asarray(cc3d.connected_components(mask, connectivity=26), dtype=np.int32)
