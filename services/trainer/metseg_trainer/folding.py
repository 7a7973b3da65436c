"""Batch norm folded into the convolutions before it, and the cost of a network.

In inference, batch norm is a factor and an offset for each channel (Jacob et al., "Quantization and Training of
Neural Networks", CVPR 2018, section 3.2). Freezing a graph alone leaves it there; a network without it is smaller
and faster.
"""

from typing import Any

import keras
import numpy as np

BATCH_NORM = "_bn"
"""A batch norm is named like the convolution before it, with this ending."""


def fold_batch_norm(network: keras.Model) -> keras.Model:
    """Return a network of equal answers without batch norm.

    Args:
        network: A model whose class takes `folded=True`, with each batch norm named after its convolution.
    """
    twin = type(network)(**{**network.get_config(), "folded": True})
    for layer in twin.layers:
        if not layer.weights:
            continue
        trained = network.get_layer(layer.name)
        values = trained.get_weights()
        if layer.use_bias and not trained.use_bias:
            values = _folded(values[0], network.get_layer(layer.name + BATCH_NORM))
        layer.set_weights(values)
    return twin


def count_gflop(network: keras.Model) -> float:
    """Return the work of one slice in 10⁹ operations: two for each multiply-add of the convolutions."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            _, width, height, filters = layer.output.shape
            total += 2 * int(np.prod(layer.kernel.shape[:3])) * width * height * filters
    return total / 1e9


def _folded(kernel: np.ndarray[Any, Any], norm: keras.layers.BatchNormalization) -> list[np.ndarray[Any, Any]]:
    gamma, beta, mean, variance = (values.astype(np.float64) for values in norm.get_weights())
    factor = gamma / np.sqrt(variance + norm.epsilon)
    return [(kernel * factor).astype(np.float32), (beta - mean * factor).astype(np.float32)]
