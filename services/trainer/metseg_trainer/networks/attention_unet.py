"""Attention U-Net: a U-Net whose skip connections are weighted by additive attention gates.

O. Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018. The gate is
equations 1 and 2 of the paper in its grid form: the gating signal comes from the next coarser level.
"""

from collections.abc import Sequence
from typing import Any

import keras

from metseg_trainer.networks.blocks import CHANNELS, convolution, double_convolution, probability_head


@keras.saving.register_keras_serializable(package="metseg")
class AttentionUNet(keras.Model):
    """The network, from `slices` uint8 (n, *size, 3) to `probability` float32 (n, *size, classes) in [0, 1].

    Its weights do not depend on the input size, so that training may begin on small slices.

        network = AttentionUNet(**asdict(ATTENTION_UNET["small"]), size=(256, 256))
        probability = network.predict(slices)

    Args:
        filters: Channels of each level, finest first; the last one is the bottom. Any number of levels will do.
        dropout: Share of the bottom's channels that training drops.
        size: Sides of the input slices, divisible by 2 ** (len(filters) - 1).
        classes: 1 for the probability of lesion, more for a softmax whose channel 0 is background.
        name: Name of the model.
    """

    def __init__(
        self,
        filters: Sequence[int],
        dropout: float = 0.0,
        size: Sequence[int] = (256, 256),
        classes: int = 1,
        name: str = "attention_unet",
    ) -> None:
        # 1. Layers
        levels = len(filters) - 1
        rescale = keras.layers.Rescaling(1.0 / 255.0, name="rescale")
        downs = [keras.layers.MaxPooling2D(2, name=f"down{level}") for level in range(levels)]
        ups = [keras.layers.UpSampling2D(2, name=f"up{level}") for level in range(levels)]
        joins = [keras.layers.Concatenate(name=f"join{level}") for level in range(levels)]
        drop = keras.layers.SpatialDropout2D(dropout, seed=0, name="bottom_dropout")

        # 2. Functional graph
        slices = keras.Input((*size, CHANNELS), dtype="uint8", name="slices")
        x = rescale(slices)
        skips = []
        for level in range(levels):
            x = double_convolution(x, filters[level], f"encoder{level}")
            skips.append(x)
            x = downs[level](x)
        x = drop(double_convolution(x, filters[levels], "bottom"))
        for level in reversed(range(levels)):
            skip = attention_gate(skips[level], x, filters=max(filters[level] // 2, 1), name=f"gate{level}")
            x = convolution(ups[level](x), filters[level], f"up{level}_conv")
            x = double_convolution(joins[level]([skip, x]), filters[level], f"decoder{level}")
        super().__init__(inputs=slices, outputs=probability_head(x, classes), name=name)

        # 3. Config
        self.filters = tuple(filters)
        self.dropout = dropout
        self.size = tuple(size)
        self.classes = classes

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "filters": self.filters,
            "dropout": self.dropout,
            "size": self.size,
            "classes": self.classes,
            "name": self.name,
        }

    @property
    def coarse_features(self) -> list[Any]:
        """Features of the decoder's levels 1 and 2, which training may ask for an answer of their own."""
        levels = range(1, min(len(self.filters) - 1, 3))
        return [self.get_layer(f"decoder{level}_b_relu").output for level in levels]


def alpha_name(level: int) -> str:
    """Return the name of the layer whose output is what a level's gate weights its skip connection by."""
    return f"gate{level}_alpha"


def attention_gate(skip: Any, gating: Any, *, filters: int, name: str) -> Any:
    """Weight a skip connection by where the coarser level says to look.

    Equation 1 is q = psi(relu(Wx x + Wg g + bg)) + b_psi, equation 2 is alpha = sigmoid(q): an additive gate
    computed on the grid of the gating signal and brought back to the grid of the skip connection.

    Args:
        skip: Features x, (n, 2w, 2h, c).
        gating: Features g of the next coarser level, (n, w, h, d).
        filters: Channels of the sum inside the gate.
        name: Prefix of the layers' names.

    Returns:
        x times alpha, of the shape of `skip`; alpha is the output of the layer `<name>_alpha`, in [0, 1].
    """
    wx = keras.layers.Conv2D(filters, 2, strides=2, use_bias=False, name=f"{name}_wx")(skip)
    wg = keras.layers.Conv2D(filters, 1, name=f"{name}_wg")(gating)
    q = keras.layers.Activation("relu", name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([wx, wg]))
    alpha = keras.layers.Conv2D(1, 1, activation="sigmoid", name=f"{name}_psi")(q)
    alpha = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_alpha")(alpha)
    return keras.layers.Multiply(name=f"{name}_out")([skip, alpha])
