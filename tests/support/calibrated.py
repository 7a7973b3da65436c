"""A confidence of known numbers, as a model card has it."""

import math

from metseg.lesions.confidence import DEFINITIONS
from metseg.schemas.model_card import ConfidenceFeature, LesionConfidence

NUMBERS = {
    "log_diameter": {"mean": math.log(8), "sd": 0.5, "low": math.log(4), "high": math.log(20), "weight": 1.0},
    "log_slices": {"mean": math.log(4), "sd": 0.5, "low": 0.0, "high": math.log(16), "weight": 0.8},
    "mean_probability": {"mean": 0.8, "sd": 0.1, "low": 0.6, "high": 0.95, "weight": 0.5},
}
"""A lesion of 8 mm on 4 slices with a mean probability of 0.8 has the intercept for its log odds."""


def fitted(threshold: float = 0.5) -> LesionConfidence:
    """Of intercept 0.5 and the features of `NUMBERS`."""
    return LesionConfidence(
        threshold=threshold,
        intercept=0.5,
        features=[
            ConfidenceFeature(name=name, definition=definition, **NUMBERS[name])
            for name, definition in DEFINITIONS.items()
        ],
        rule="made up",
        lesions=40,
        true_lesions=25,
        patients=6,
        brier=0.15,
        brier_low=0.1,
        brier_high=0.2,
        brier_of_share=0.25,
        calibration_error=0.05,
        measured_on="nothing",
    )
