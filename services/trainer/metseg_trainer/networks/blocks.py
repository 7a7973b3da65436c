"""What the networks are built of: convolutions with batch norm, and the layer that makes probabilities."""

from typing import Any

import keras

CHANNELS = 3
"""A slice and its two neighbours."""

BATCH_NORM_MOMENTUM = 0.97
"""Keras's 0.99 forgets too slowly for runs of a few thousand steps."""


def convolution(x: Any, filters: int, name: str, *, kernel: int = 3) -> Any:
    """Return a square convolution with batch norm and ReLU, (n, w, h, filters)."""
    layer = keras.layers.Conv2D(
        filters, kernel, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(layer(x))
    return keras.layers.Activation("relu", name=f"{name}_relu")(x)


def double_convolution(x: Any, filters: int, name: str) -> Any:
    """Return two of `convolution`, one after the other."""
    return convolution(convolution(x, filters, f"{name}_a"), filters, f"{name}_b")


def probability_head(x: Any, classes: int, name: str = "head", output: str = "probability") -> Any:
    """Return the probability of each class, float32 (n, w, h, classes).

    Args:
        x: Features at the resolution of the slices.
        classes: 1 makes a sigmoid, the probability of lesion; more make a softmax whose channel 0 is background.
        name: Name of the 1×1 convolution.
        output: Name of the last layer.
    """
    scores = keras.layers.Conv2D(classes, 1, name=name)(x)
    rule = "sigmoid" if classes == 1 else "softmax"
    return keras.layers.Activation(rule, dtype="float32", name=output)(scores)


def is_probability(layer: keras.Layer) -> bool:
    """Say whether a layer is the last one of a `probability_head`."""
    return isinstance(layer, keras.layers.Activation) and layer.name.startswith("probability")
