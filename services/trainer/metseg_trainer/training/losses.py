"""What training minimises and what it watches, on any Keras backend.

A truth is a mask of class indices, uint8 (n, w, h, 1), 0 being background; a second channel may hold the weight of
each pixel in the cross-entropy, in units of 1 / `WEIGHT_ONE`. A prediction is float (n, w, h, c): with one channel
the probability of lesion, with several a softmax whose channel 0 is background. The losses tell one from the other
by the number of channels.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from metseg_trainer.batches.dataset import WEIGHT_ONE

_SMOOTH = 1.0
_AXES = (1, 2)


def soft_dice(truth: Any, probability: Any) -> Any:
    """Return the soft Dice coefficient of each slice and channel, (n, c) in [0, 1].

    Milletari et al., "V-Net", 3DV 2016, equation of section 3, with plain sums in the denominator (Sudre et al.,
    DLMIA 2017). One is added above and below, so that an empty slice scores 1 for an empty prediction.

    Args:
        truth: (n, w, h, c) in [0, 1].
        probability: Of the same shape.
    """
    truth, probability = ops.cast(truth, "float32"), ops.cast(probability, "float32")
    overlap = ops.sum(truth * probability, axis=_AXES)
    total = ops.sum(truth, axis=_AXES) + ops.sum(probability, axis=_AXES)
    return (2.0 * overlap + _SMOOTH) / (total + _SMOOTH)


def tversky_index(truth: Any, probability: Any, *, missed: float, false: float) -> Any:
    """Return the Tversky index of each slice and channel, (n, c) in [0, 1].

    Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional deep networks",
    MLMI 2017, its index S. With both weights 0.5 it is the Dice coefficient.

    Args:
        truth: (n, w, h, c) in [0, 1].
        probability: Of the same shape.
        missed: Weight of false negatives.
        false: Weight of false positives.
    """
    truth, probability = ops.cast(truth, "float32"), ops.cast(probability, "float32")
    hit = ops.sum(truth * probability, axis=_AXES)
    lost = ops.sum(truth * (1.0 - probability), axis=_AXES)
    extra = ops.sum((1.0 - truth) * probability, axis=_AXES)
    return (hit + _SMOOTH) / (hit + missed * lost + false * extra + _SMOOTH)


@keras.saving.register_keras_serializable(package="metseg")
class CrossEntropy(keras.losses.Loss):
    """The mean cross-entropy of the pixels, binary or over the classes with the background."""

    def __init__(self, name: str = "cross_entropy") -> None:
        super().__init__(name=name)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each slice, (n,)."""
        return _cross_entropy(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"name": self.name}


@keras.saving.register_keras_serializable(package="metseg")
class DiceCrossEntropy(keras.losses.Loss):
    """One minus the soft Dice, averaged over the classes but the background, plus the weighted cross-entropy."""

    def __init__(self, cross_entropy_weight: float = 1.0, name: str = "dice_cross_entropy") -> None:
        super().__init__(name=name)
        self.cross_entropy_weight = cross_entropy_weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each slice, (n,)."""
        dice = ops.mean(soft_dice(*_lesion_channels(y_true, y_pred)), axis=-1)
        return 1.0 - dice + self.cross_entropy_weight * _cross_entropy(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"cross_entropy_weight": self.cross_entropy_weight, "name": self.name}


@keras.saving.register_keras_serializable(package="metseg")
class LesionDiceCrossEntropy(keras.losses.Loss):
    """One minus the soft Dice of lesion of any class, plus the weighted cross-entropy over the classes.

    Unlike `DiceCrossEntropy` it has no Dice term for each class: most slices show but one.
    """

    def __init__(self, cross_entropy_weight: float = 1.0, name: str = "lesion_dice_cross_entropy") -> None:
        super().__init__(name=name)
        self.cross_entropy_weight = cross_entropy_weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each slice, (n,)."""
        dice = soft_dice(_is_lesion(y_true), lesion_probability(y_pred))[:, 0]
        return 1.0 - dice + self.cross_entropy_weight * _cross_entropy(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"cross_entropy_weight": self.cross_entropy_weight, "name": self.name}


@keras.saving.register_keras_serializable(package="metseg")
class FocalTversky(keras.losses.Loss):
    """The focal Tversky loss, averaged over the classes but the background.

    Abraham & Khan, "A novel focal Tversky loss function with improved Attention U-Net for lesion segmentation",
    ISBI 2019: (1 - index) ** (1 / gamma), by default with the paper's weights and exponent.

    Args:
        alpha: Weight of missed pixels; more than `beta` where small lesions must not be missed.
        beta: Weight of false pixels.
        gamma: Above 1, classes that are nearly right are pushed on longer.
        name: Name of the loss.
    """

    def __init__(
        self, alpha: float = 0.7, beta: float = 0.3, gamma: float = 4.0 / 3.0, name: str = "focal_tversky"
    ) -> None:
        super().__init__(name=name)
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each slice, (n,)."""
        index = tversky_index(*_lesion_channels(y_true, y_pred), missed=self.alpha, false=self.beta)
        lack = ops.maximum(1.0 - index, keras.config.epsilon())  # a root has no slope at zero
        return ops.mean(ops.power(lack, 1.0 / self.gamma), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma, "name": self.name}


@keras.saving.register_keras_serializable(package="metseg")
class DeepSupervision(keras.losses.Loss):
    """The weighted mean of one loss over several heads (U-Net++: Zhou et al., DLMIA 2018, section 2.3, all alike).

    Args:
        loss: Applied to each head against the same truth.
        weights: One a head; the prediction holds the heads side by side on its channel axis.
        name: Name of the loss.
    """

    def __init__(self, loss: keras.losses.Loss, weights: Sequence[float], name: str = "deep_supervision") -> None:
        super().__init__(name=name)
        self.loss = loss
        self.weights = tuple(weights)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each slice, (n,)."""
        parts = split_heads(y_pred, len(self.weights))
        losses = [weight * self.loss.call(y_true, part) for weight, part in zip(self.weights, parts, strict=True)]
        return sum(losses) / sum(self.weights)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "weights": self.weights,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "DeepSupervision":
        """Build the loss again from `get_config`."""
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


def split_heads(prediction: Any, heads: int) -> list[Any]:
    """Split (n, w, h, heads * c) into a list of (n, w, h, c)."""
    channels = prediction.shape[-1] // heads
    return [prediction[..., head * channels : (head + 1) * channels] for head in range(heads)]


def lesion_probability(prediction: Any, heads: int = 1) -> Any:
    """Return the probability of lesion of any kind, (n, w, h, 1): the mean of the heads, less the background."""
    parts = split_heads(ops.cast(prediction, "float32"), heads)
    mean = sum(parts) / heads
    return mean if mean.shape[-1] == 1 else 1.0 - mean[..., :1]


def dice_at_half(y_true: Any, y_pred: Any, heads: int = 1) -> Any:
    """Return the Dice coefficient of the lesion mask at 0.5, for each slice, (n,)."""
    found = ops.cast(lesion_probability(y_pred, heads) > 0.5, "float32")
    return soft_dice(_is_lesion(y_true), found)[:, 0]


def _cross_entropy(y_true: Any, y_pred: Any) -> Any:
    y_pred = ops.cast(y_pred, "float32")
    if y_pred.shape[-1] == 1:
        entropy = ops.binary_crossentropy(ops.cast(y_true[..., :1], "float32"), y_pred)[..., 0]
    else:
        entropy = ops.categorical_crossentropy(_one_hot(y_true, y_pred.shape[-1]), y_pred)
    if y_true.shape[-1] == 2:
        entropy = entropy * (ops.cast(y_true[..., 1], "float32") / WEIGHT_ONE)
    return ops.mean(entropy, axis=_AXES)


def _is_lesion(y_true: Any) -> Any:
    return ops.cast(y_true[..., :1] > 0, "float32")


def _lesion_channels(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Return truth and prediction of the same shape, (n, w, h, c), without the background."""
    classes = y_pred.shape[-1]
    return (y_true[..., :1], y_pred) if classes == 1 else (_one_hot(y_true, classes)[..., 1:], y_pred[..., 1:])


def _one_hot(y_true: Any, classes: int) -> Any:
    return ops.one_hot(ops.cast(y_true[..., 0], "int32"), classes, dtype="float32")
