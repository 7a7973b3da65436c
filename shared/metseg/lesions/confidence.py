"""How likely a lesion that was found is a true one, told from what is known of it without the truth.

A logistic model of few features, whose numbers stand in the model card. `metseg-train evaluate --choose` fits it
on the very same features of the very same `Lesion`, so that what was calibrated is what is told.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from metseg.schemas.model_card import LesionConfidence, ModelCard
from metseg.schemas.report import Lesion

FeatureName = Literal["log_diameter", "log_slices", "mean_probability"]

DEFINITIONS: Mapping[FeatureName, str] = MappingProxyType(
    {
        "log_diameter": "Natural logarithm of the diameter in mm of the ball of the lesion's volume.",
        "log_slices": "Natural logarithm of the number of slices that show the lesion: each was judged again.",
        "mean_probability": "Of the network, over the lesion's voxels.",
    }
)


def features_of(lesion: Lesion) -> dict[FeatureName, float] | None:
    """What the confidence knows of a lesion.

    Returns:
        None where its size is not known: in a picture, and where the border of the image cuts it off.
    """
    if lesion.equivalent_sphere_mm is None or lesion.slices_spanned is None or lesion.touches_border:
        return None
    return {
        "log_diameter": math.log(lesion.equivalent_sphere_mm),
        "log_slices": math.log(lesion.slices_spanned),
        "mean_probability": lesion.mean_probability,
    }


def confidence_of(lesion: Lesion, fitted: LesionConfidence) -> float | None:
    """The probability that a lesion is a true one, 0…1; None where its size is not known."""
    known = features_of(lesion)
    if known is None:
        return None
    terms = (
        one.weight * (min(max(known[one.name], one.low), one.high) - one.mean) / one.sd for one in fitted.features
    )
    return 1 / (1 + math.exp(-(fitted.intercept + sum(terms))))


def with_confidence(lesions: Sequence[Lesion], card: ModelCard, threshold: float) -> list[Lesion]:
    """Lesions with their confidence; without one where the card has none that was fitted at this threshold."""
    fitted = next((one for one in card.confidence if one.threshold == threshold), None)
    if fitted is None:
        return list(lesions)
    return [lesion.updated(confidence=confidence_of(lesion, fitted)) for lesion in lesions]
