"""How one case comes out, seen through the very path that serves: read, prepare, predict, restore, lesions.

A case is seen once; its probability is then judged at any threshold and smallest lesion. Two rules say what is
found. `lesionwise` follows BraTS-METS (`metseg_trainer.metrics.lesionwise`). Beside it, lesions as the data set
numbers them are found when a predicted one touches them, and a predicted one that touches none is false.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metseg.errors import InputError
from metseg.imaging.volume import Volume
from metseg.inference.segment import Predict, segment
from metseg.lesions.find import LesionRules, label_lesions
from metseg.schemas.model_card import ModelCard
from metseg_trainer.datasets import Case, read_lesions
from metseg_trainer.datasets.enhancement import FEW, enhancing_share
from metseg_trainer.datasets.prepared_cases import prepare_case, read_case
from metseg_trainer.datasets.synthetic import SyntheticTruth, read_synthetic_truth
from metseg_trainer.evaluation.prediction_cache import Prediction, PredictionCache
from metseg_trainer.metrics.detection import Parts, list_parts
from metseg_trainer.metrics.lesionwise import (
    METS_2023,
    Lesionwise,
    LesionwiseRules,
    ball_diameter,
    box_around,
    find_true_lesions,
    lesionwise,
)
from metseg_trainer.metrics.overlap import Overlap, overlap
from metseg_trainer.metrics.surface import Spacing, compare_surfaces

TOLERANCE = 1.0
"""Of the surface Dice: mm, or pixels for a picture without spacing."""

PICTURE_RULES = replace(METS_2023, penalty_mm=None)
"""In pixels: a missed lesion is as far away as the picture's diagonal is long."""


@dataclass(frozen=True, eq=False)
class SeenCase:
    """A case with what the network makes of it.

    Attributes:
        case: Where it comes from.
        truth: uint32, one number for each lesion.
        probability: float32 on the same grid.
        is_picture: One slice of no known place.
        has_spacing: Whether lesions can be measured in mm.
        enhances: Whether the tumour of a picture takes up contrast agent (`metseg_trainer.datasets.enhancement`);
            None for a volume, or where there is none.
    """

    case: Case
    truth: Volume
    probability: NDArray[np.float32]
    is_picture: bool
    has_spacing: bool
    enhances: bool | None = None

    @property
    def unit(self) -> Literal["mm", "px"]:
        """What distances are measured in."""
        return "mm" if self.has_spacing else "px"

    @property
    def spacing(self) -> Spacing:
        """Distance of voxels along each axis, in `unit`."""
        return self.truth.spacing_mm if self.has_spacing else (1.0, 1.0, 1.0)

    @property
    def rules(self) -> LesionwiseRules:
        """How lesions are told apart."""
        return METS_2023 if self.has_spacing else PICTURE_RULES


@dataclass(frozen=True)
class OperatingPoint:
    """What makes lesions out of probabilities; stands in the model card."""

    threshold: float = 0.5
    min_lesion_mm3: float = 0.0
    min_lesion_px: int = 0


@dataclass(frozen=True)
class NumberedLesions:
    """What became of the lesions as the data set numbers them.

    Attributes:
        diameters_mm: Diameter of the ball of equal volume, of each; empty where nothing can be measured in mm.
        found: Whether a predicted lesion touches each.
        false_lesions: Predicted lesions that touch none.
    """

    diameters_mm: tuple[float, ...]
    found: tuple[bool, ...]
    false_lesions: int


@dataclass(frozen=True)
class CaseResult:
    """How one case came out.

    Attributes:
        name: The case.
        patient: Whose it is.
        label: Its class, where a manifest names it.
        unit: Of distances and diameters.
        voxels: Voxel by voxel.
        hd95: 95th percentile of the distance of surfaces; the penalty of `lesionwise` where one mask is empty.
        surface_dice: Share of the surfaces within 1 mm (1 pixel) of each other.
        lesionwise: By the rules of BraTS-METS; volumes in pixels for a picture without spacing.
        numbered: The lesions as the data set numbers them.
        synthetic: What is known of them where the scan is synthetic.
        enhances: As in `SeenCase`.
    """

    name: str
    patient: str
    label: str | None
    unit: Literal["mm", "px"]
    voxels: Overlap
    hd95: float
    surface_dice: float
    lesionwise: Lesionwise
    numbered: NumberedLesions
    synthetic: SyntheticTruth | None = None
    enhances: bool | None = None

    @property
    def is_blank(self) -> bool:
        """Whether nothing was marked."""
        return self.voxels.precision == 0 and not any(self.numbered.found) and not self.numbered.false_lesions

    @property
    def dice(self) -> float:
        """Voxel by voxel; 1 where truth and prediction are both empty."""
        return self.voxels.dice


def see_cases(
    cases: Iterable[Case], card: ModelCard, predict: Predict, *, cache: PredictionCache | None = None
) -> Iterator[SeenCase]:
    """Send each case through the network, exactly as the worker does.

    Args:
        cases: One after the other; none is kept in memory.
        card: Says how they are prepared.
        predict: The network.
        cache: Where predictions are taken from and kept; None predicts all of them.
    """
    for case in cases:
        prediction = None if cache is None else cache.load(case)
        if prediction is None:
            prediction = _predict_case(case, card, predict)
            if cache is not None:
                cache.save(case, prediction)
        yield SeenCase(
            case,
            read_lesions(case),
            prediction.probability,
            prediction.is_picture,
            prediction.has_spacing,
            enhances=_picture_enhances(case, card) if prediction.is_picture else None,
        )


def judge(seen: SeenCase, point: OperatingPoint) -> CaseResult:
    """Compare one case's lesions with the truth.

    Raises:
        InputError: What lies beside a synthetic scan does not name the lesions of its mask.
    """
    labels = find_predicted(seen, point)
    truth = seen.truth.array
    surfaces = compare_surfaces(truth > 0, labels > 0, seen.spacing)
    lesions = lesionwise(truth > 0, labels > 0, seen.spacing, seen.rules)
    numbered = find_numbered(seen, labels)
    synthetic = read_synthetic_truth(seen.case)
    if synthetic is not None and len(synthetic.kinds) != len(numbered.found):
        raise InputError(
            f"{seen.case.mask} numbers {len(numbered.found)} lesions, but its truth names {len(synthetic.kinds)}; "
            "write the set again."
        )
    return CaseResult(
        name=seen.case.name,
        patient=seen.case.patient,
        label=seen.case.label,
        unit=seen.unit,
        voxels=overlap(truth > 0, labels > 0),
        hd95=min(surfaces.hausdorff95, lesions.penalty),
        surface_dice=surfaces.dice_within(TOLERANCE),
        lesionwise=lesions,
        numbered=numbered,
        synthetic=synthetic,
        enhances=seen.enhances,
    )


def find_numbered(seen: SeenCase, labels: NDArray[np.uint32]) -> NumberedLesions:
    """Tell which lesions of the truth the predicted ones (`find_predicted`) touch."""
    truth = seen.truth.array
    sizes = np.bincount(truth.reshape(-1))
    numbers = [int(number) for number in np.flatnonzero(sizes[1:]) + 1]
    touched = set(np.unique(truth[labels > 0]).tolist())
    true_positive = set(np.unique(labels[truth > 0]).tolist()) - {0}
    diameters = [ball_diameter(sizes[number] * seen.truth.voxel_mm3) for number in numbers]
    return NumberedLesions(
        diameters_mm=tuple(diameters) if seen.has_spacing else (),
        found=tuple(number in touched for number in numbers),
        false_lesions=int(labels.max()) - len(true_positive),
    )


def find_predicted(seen: SeenCase, point: OperatingPoint) -> NDArray[np.uint32]:
    """Number the lesions that the worker would find at a point; 0 is everything else."""
    rules = LesionRules(point.min_lesion_mm3, point.min_lesion_px, seen.is_picture, seen.has_spacing)
    return label_lesions(seen.truth.with_array(seen.probability >= point.threshold), rules)


def smallest_voxels(seen: SeenCase, point: OperatingPoint) -> float:
    """Return the smallest lesion of a point in voxels."""
    return point.min_lesion_px if seen.is_picture else point.min_lesion_mm3 / seen.truth.voxel_mm3


def parts_by_threshold(seen: SeenCase, thresholds: Sequence[float]) -> dict[float, Parts]:
    """Sort the parts of one case's prediction at each threshold."""
    box = box_around((seen.truth.array > 0) | (seen.probability >= min(thresholds)))
    lesions = find_true_lesions(seen.truth.array[box] > 0, seen.spacing, seen.rules)
    probability = seen.probability[box]
    return {threshold: list_parts(lesions, probability >= threshold) for threshold in thresholds}


def _picture_enhances(case: Case, card: ModelCard) -> bool | None:
    made = prepare_case(case, card.preprocessing)
    return enhancing_share(made.pixels[0], made.mask[0]) >= FEW if made.mask[0].any() else None


def _predict_case(case: Case, card: ModelCard, predict: Predict) -> Prediction:
    scan, _ = read_case(case)
    seen = segment(scan, card, predict)
    return Prediction(seen.probability.array, scan.is_picture, scan.has_spacing)
