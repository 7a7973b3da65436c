"""Networks as training might have left them, and something for them to look at."""

from collections.abc import Iterator

import keras
import numpy as np


def unsettle_norms(network: keras.Model, seed: int = 1) -> keras.Model:
    """Give every batch norm, also in models inside of the network, values that are not those of a new one."""
    rng = np.random.default_rng(seed)
    for norm in batch_norms(network):
        norm.set_weights([rng.uniform(0.5, 1.5, values.shape) for values in norm.get_weights()])
    return network


def batch_norms(network: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    """Yield the batch norms of a network and of the models inside of it."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from batch_norms(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield layer


def noise(n: int, side: int) -> np.ndarray:
    """Return slices of noise, uint8 (n, side, side, 3)."""
    return np.random.default_rng(2).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def answer(network: keras.Model, slices: np.ndarray) -> np.ndarray:
    """Return what a network answers, without the seconds that `predict` takes to compile."""
    return keras.ops.convert_to_numpy(network(slices, training=False))
