"""U-Net++: a U-Net whose skip connections are nested and dense, with a head at every depth.

Z. Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018, and "UNet++:
Redesigning Skip Connections to Exploit Multiscale Features in Image Segmentation", IEEE TMI 2020. Node X^{i,j} of
equation 1 takes all nodes before it on its level i and the node below it, brought up by a transposed convolution.
"""

from collections.abc import Sequence
from typing import Any

import keras

from metseg.errors import RequestError
from metseg_trainer.networks.blocks import CHANNELS, double_convolution, probability_head


@keras.saving.register_keras_serializable(package="metseg")
class UNetPlusPlus(keras.Model):
    """The network, from `slices` uint8 (n, *size, 3) to `probability` float32 (n, *size, classes) in [0, 1].

    Its weights do not depend on the input size. Head k sits on X^{0,k}; without `level` the answer is the mean of
    all heads (the paper's accurate mode), with it that of one head, and nothing is there that it does not need
    (the paper's pruning, L1 to L4 for five levels of filters).

        network = UNetPlusPlus(**asdict(UNET_PLUS_PLUS["small"]), size=(256, 256))
        probability = network.predict(slices)

    Args:
        filters: Channels of each level, finest first.
        dropout: Share of the bottom's channels that training drops.
        level: Head to answer with, from 1 to len(filters) - 1; None takes the mean of all.
        size: Sides of the input slices, divisible by 2 ** (len(filters) - 1).
        classes: 1 for the probability of lesion, more for a softmax whose channel 0 is background.
        name: Name of the model.
    """

    def __init__(
        self,
        filters: Sequence[int],
        dropout: float = 0.0,
        level: int | None = None,
        size: Sequence[int] = (256, 256),
        classes: int = 1,
        name: str = "unet_plus_plus",
    ) -> None:
        # 1. Layers
        deepest = len(filters) - 1 if level is None else level
        rescale = keras.layers.Rescaling(1.0 / 255.0, name="rescale")
        downs = [keras.layers.MaxPooling2D(2, name=f"down{row}") for row in range(deepest)]
        drop = keras.layers.SpatialDropout2D(dropout, seed=0, name="bottom_dropout")
        mean = keras.layers.Average(dtype="float32", name="probability")

        # 2. Functional graph
        slices = keras.Input((*size, CHANNELS), dtype="uint8", name="slices")
        x = rescale(slices)
        rows: list[list[Any]] = []
        for row in range(deepest + 1):
            x = double_convolution(x if row == 0 else downs[row - 1](x), filters[row], node_name(row, 0))
            rows.append([drop(x) if row == len(filters) - 1 else x])
        for column in range(1, deepest + 1):
            for row in range(deepest + 1 - column):
                below = rows[row + 1][column - 1]
                rows[row].append(_node(rows[row], below, filters[row], node_name(row, column)))
        if level is None:
            heads = [_head(rows[0][k], classes, k, output_name(k)) for k in range(1, deepest + 1)]
            probability = mean(heads)
        else:
            probability = _head(rows[0][level], classes, level, "probability")
        super().__init__(inputs=slices, outputs=probability, name=name)

        # 3. Config
        self.filters = tuple(filters)
        self.dropout = dropout
        self.level = level
        self.size = tuple(size)
        self.classes = classes

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "filters": self.filters,
            "dropout": self.dropout,
            "level": self.level,
            "size": self.size,
            "classes": self.classes,
            "name": self.name,
        }

    @property
    def heads(self) -> list[Any]:
        """Outputs of all heads, shallowest first, each (n, *size, classes); one alone in a pruned network."""
        if self.level is not None:
            return [self.output]
        return [self.get_layer(output_name(k)).output for k in range(1, len(self.filters))]


def prune(network: UNetPlusPlus, level: int) -> UNetPlusPlus:
    """Return the part of a network that head `level` needs, with its weights.

    Raises:
        RequestError: The network has no such head.
    """
    if network.level is not None or not 1 <= level < len(network.filters):
        known = "one head alone" if network.level is not None else f"heads 1 to {len(network.filters) - 1}"
        raise RequestError(f"expected a level that the network has, got level {level} of a network with {known}")
    pruned = UNetPlusPlus(**{**network.get_config(), "level": level})
    for layer in pruned.layers:
        if layer.weights:
            layer.set_weights(network.get_layer(layer.name).get_weights())
    return pruned


def node_name(row: int, column: int) -> str:
    """Return the prefix of the names of the layers of node X^{row,column}."""
    return f"x{row}{column}"


def output_name(head: int) -> str:
    """Return the name of the layer that answers for one head of a network with all of them."""
    return f"probability{head}"


def _node(before: Sequence[Any], below: Any, filters: int, name: str) -> Any:
    up = keras.layers.Conv2DTranspose(filters, 2, strides=2, name=f"{name}_up")(below)
    joined = keras.layers.Concatenate(name=f"{name}_join")([*before, up])
    return double_convolution(joined, filters, name)


def _head(x: Any, classes: int, head: int, output: str) -> Any:
    return probability_head(x, classes, f"head{head}", output)
