"""Batch norm folded into the convolutions before it, and the cost of a network.

In inference, batch norm is a factor and an offset for each channel (Jacob et al., "Quantization and Training of
Neural Networks", CVPR 2018, section 3.2). Freezing a graph alone leaves it there; a network without it is smaller
and faster.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np


def fold_batch_norm(network: keras.Model) -> keras.Model:
    """Return a network of equal answers, without the batch norms that directly follow a convolution.

    Args:
        network: A functional model; the models inside of it are folded as well.
    """
    norms = {id(convolution): norm for model in _models(network) for convolution, norm in _foldable(model)}
    folded = {id(norm) for norm in norms.values()}
    twins: list[tuple[keras.Layer, keras.Layer]] = []

    def clone(layer: keras.Layer) -> keras.Layer:
        if id(layer) in folded:
            return keras.layers.Identity(name=layer.name)
        changes = {"use_bias": True} if id(layer) in norms else {}
        twins.append((layer, type(layer).from_config({**layer.get_config(), **changes})))
        return twins[-1][1]

    def call(layer: keras.Layer, *arguments: Any, **options: Any) -> Any:
        return arguments[0] if isinstance(layer, keras.layers.Identity) else layer(*arguments, **options)

    answer = keras.models.clone_model(network, clone_function=clone, call_function=call, recursive=True)
    for layer, twin in twins:
        values = layer.get_weights()
        twin.set_weights(_folded(values, norms[id(layer)]) if id(layer) in norms else values)
    return answer


def count_gflop(network: keras.Model) -> float:
    """Return the 10⁹ operations of one slice, two for each multiply-add of convolutions and dense layers."""
    return sum(_operations(layer) for model in _models(network) for layer in model.layers) / 1e9


def _operations(layer: keras.Layer) -> int:
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return 2 * int(np.prod(layer.kernel.shape)) * int(np.prod(layer.input.shape[1:3]))
    if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
        return 2 * int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:-1]))
    return 0


def _models(network: keras.Model) -> Iterator[keras.Model]:
    """Yield a model and those inside of it."""
    yield network
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _models(layer)


def _foldable(model: keras.Model) -> Iterator[tuple[keras.Layer, keras.Layer]]:
    """Yield each linear convolution that nothing but a batch norm looks at, with that batch norm."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    uses = Counter(id(tensor) for layer in layers for tensor in keras.tree.flatten(layer.input))
    uses.update(id(tensor) for tensor in keras.tree.flatten(model.output))
    made_by = {id(layer.output): layer for layer in layers if type(layer) is keras.layers.Conv2D}
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            convolution = made_by.get(id(layer.input))
            if convolution and uses[id(layer.input)] == 1 and convolution.activation is keras.activations.linear:
                yield convolution, layer


def _folded(
    values: list[np.ndarray[Any, Any]], norm: keras.layers.BatchNormalization
) -> list[np.ndarray[Any, Any]]:
    """Return kernel and bias of the convolution and its batch norm in one.

    Args:
        values: Kernel, and bias where the convolution has one.
        norm: With or without factor (gamma) and offset (beta).
    """
    learnt = iter(weights.astype(np.float64) for weights in norm.get_weights())
    gamma = next(learnt) if norm.scale else 1.0
    beta = next(learnt) if norm.center else 0.0
    mean, variance = learnt
    factor = gamma / np.sqrt(variance + norm.epsilon)
    bias = values[1] if len(values) > 1 else 0.0
    return [(values[0] * factor).astype(np.float32), (beta + (bias - mean) * factor).astype(np.float32)]
