"""How good a model is, measured through the very path that serves: read, prepare, predict, restore, lesions.

A case is seen once; its probability is then judged at any threshold and smallest lesion (`judge`), by the rules of
`metseg.lesions`. A lesion of the truth is found when a predicted one touches it; a predicted one that touches none
is false.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray

from metseg.card import ModelCard
from metseg.lesions import LesionRules, find_lesions
from metseg.scan import read_scan
from metseg.segment import Predict, segment
from metseg.volume import Volume
from metseg_trainer.datasets import Case
from metseg_trainer.slices import read_case

LARGE_LESION_MM = 8.0
"""Lesions from this diameter on must be found."""


@dataclass(frozen=True, eq=False)
class SeenCase:
    """A case with what the network makes of it.

    Attributes:
        case: Where it comes from.
        truth: uint16, one number for each lesion.
        probability: float32 on the same grid.
        is_picture: One slice of no known place.
        has_spacing: Whether lesions can be measured in mm.
    """

    case: Case
    truth: Volume
    probability: NDArray[np.float32]
    is_picture: bool
    has_spacing: bool


@dataclass(frozen=True)
class OperatingPoint:
    """What makes lesions out of probabilities; stands in the model card."""

    threshold: float = 0.5
    min_lesion_mm3: float = 0.0
    min_lesion_px: int = 0


@dataclass(frozen=True)
class CaseResult:
    """How one case came out.

    Attributes:
        name: The case.
        label: Its class, where a manifest names it.
        dice: 1 where truth and prediction are both empty.
        true_diameters_mm: Diameter of the ball of equal volume, of each lesion of the truth.
        found: Whether each of them was found.
        false_lesions: Predicted lesions that touch no lesion of the truth.
    """

    name: str
    label: str | None
    dice: float
    true_diameters_mm: tuple[float, ...]
    found: tuple[bool, ...]
    false_lesions: int


def see_cases(cases: Iterable[Case], card: ModelCard, predict: Predict) -> Iterator[SeenCase]:
    """Send each case through the network, exactly as the worker does."""
    for case in cases:
        scan, _ = read_case(case)
        seen = segment(scan, card, predict)
        yield SeenCase(case, _numbered(case), seen.probability.array, scan.is_picture, scan.has_spacing)


def judge(seen: SeenCase, point: OperatingPoint) -> CaseResult:
    """Compare one case's lesions with the truth."""
    rules = LesionRules(point.min_lesion_mm3, point.min_lesion_px, seen.is_picture, seen.has_spacing)
    over = seen.truth.with_array(seen.probability >= point.threshold)
    predicted, labels = find_lesions(over, seen.probability, rules)
    truth = seen.truth.array
    sizes = np.bincount(truth.reshape(-1))
    numbers = [int(number) for number in np.flatnonzero(sizes[1:]) + 1]
    touched = set(np.unique(truth[labels > 0]).tolist())
    true_positive = set(np.unique(labels[truth > 0]).tolist()) - {0}
    return CaseResult(
        name=seen.case.name,
        label=seen.case.label,
        dice=dice(truth > 0, labels > 0),
        true_diameters_mm=tuple(_ball_diameter(sizes[number] * seen.truth.voxel_mm3) for number in numbers),
        found=tuple(number in touched for number in numbers),
        false_lesions=len(predicted) - len(true_positive),
    )


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the Dice coefficient (Dice, Ecology 1945) of two masks; 1 when both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / total if total else 1.0


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float
    cases: int


def mean_with_interval(values: Sequence[float], *, draws: int = 2000) -> Estimate:
    """Return the mean over cases, with the percentile bootstrap's interval (Efron, Ann Stat 1979)."""
    array = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(0)
    means = array[rng.integers(0, len(array), (draws, len(array)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Estimate(float(array.mean()), float(low), float(high), len(array))


def sensitivity_with_interval(results: Sequence[CaseResult], *, draws: int = 2000) -> Estimate | None:
    """Return the share of lesions of 8 mm and more that were found; the bootstrap draws whole cases.

    Returns:
        None where no case has such a lesion.
    """
    counts = np.array([_large_counts(result) for result in results], dtype=np.float64).reshape(-1, 2)
    counts = counts[counts[:, 1] > 0]
    if not len(counts):
        return None
    rng = np.random.default_rng(0)
    sums = counts[rng.integers(0, len(counts), (draws, len(counts)))].sum(axis=1)
    low, high = np.percentile(sums[:, 0] / sums[:, 1], (2.5, 97.5))
    found, there = counts.sum(axis=0)
    return Estimate(float(found / there), float(low), float(high), len(counts))


def _large_counts(result: CaseResult) -> tuple[int, int]:
    large = [
        found
        for found, diameter in zip(result.found, result.true_diameters_mm, strict=True)
        if diameter >= LARGE_LESION_MM
    ]
    return sum(large), len(large)


def _numbered(case: Case) -> Volume:
    """Read a mask with one number a lesion: its own numbers, or its connected parts where it has one value."""
    mask = read_scan(case.mask).volume
    if len(np.unique(mask.array[mask.array > 0])) > 1 and mask.shape[2] > 1:
        return mask.with_array(mask.array.astype(np.uint16))
    return mask.with_array(cc3d.connected_components(mask.array > 0, connectivity=26).astype(np.uint16))


def _ball_diameter(volume_mm3: float) -> float:
    return float((6.0 * volume_mm3 / np.pi) ** (1 / 3))
