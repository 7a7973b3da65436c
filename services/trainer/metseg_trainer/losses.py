"""What training minimises and what it watches."""

from typing import Any

import keras
from keras import ops

_SMOOTH = 1.0


def soft_dice(truth: Any, probability: Any) -> Any:
    """Return the soft Dice coefficient of each slice, (n,) in [0, 1].

    Milletari et al., "V-Net", 3DV 2016, equation of section 3, with plain sums in the denominator (Sudre et al.,
    DLMIA 2017). One is added above and below, so that an empty slice scores 1 for an empty prediction.
    """
    axes = (1, 2, 3)
    truth = ops.cast(truth, "float32")
    probability = ops.cast(probability, "float32")
    overlap = ops.sum(truth * probability, axis=axes)
    total = ops.sum(truth, axis=axes) + ops.sum(probability, axis=axes)
    return (2.0 * overlap + _SMOOTH) / (total + _SMOOTH)


@keras.saving.register_keras_serializable(package="metseg")
class DiceCrossEntropy(keras.losses.Loss):
    """One minus the mean soft Dice of the slices, plus the weighted mean binary cross-entropy."""

    def __init__(self, cross_entropy_weight: float = 1.0, name: str = "dice_cross_entropy") -> None:
        super().__init__(name=name)
        self.cross_entropy_weight = cross_entropy_weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each slice, (n,)."""
        y_true = ops.cast(y_true, "float32")
        cross_entropy = ops.mean(ops.binary_crossentropy(y_true, ops.cast(y_pred, "float32")), axis=(1, 2, 3))
        return 1.0 - soft_dice(y_true, y_pred) + self.cross_entropy_weight * cross_entropy

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"cross_entropy_weight": self.cross_entropy_weight, "name": self.name}


def dice_at_half(y_true: Any, y_pred: Any) -> Any:
    """Return the Dice coefficient of the mask at 0.5, for each slice."""
    return soft_dice(y_true, ops.cast(y_pred > 0.5, "float32"))
