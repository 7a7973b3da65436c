"""The running mean of a network's weights over the epochs of a stage."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np


class WeightAverage:
    """An exponential mean of weights, one value an epoch, after Polyak & Juditsky (SIAM J. Control 1992).

    Batch norm's running statistics are averaged with the weights.

    Args:
        keep: What each epoch keeps of the mean before it, in [0, 1); 0 keeps no mean at all.
        values: Where an earlier mean goes on.
    """

    def __init__(self, keep: float, values: list[np.ndarray[Any, Any]] | None = None) -> None:
        self._keep = keep
        self.values = values or []

    def forget(self) -> None:
        """Begin anew, as a new stage does."""
        self.values = []

    def update(self, network: keras.Model) -> None:
        """Take in the weights of one more epoch."""
        if not self._keep:
            return
        new = network.get_weights()
        if self.values:
            pairs = zip(self.values, new, strict=True)
            new = [(self._keep * old + (1.0 - self._keep) * now).astype(now.dtype) for old, now in pairs]
        self.values = [np.array(values) for values in new]

    @contextmanager
    def in_place(self, network: keras.Model) -> Iterator[None]:
        """Let the network hold the mean for as long as the block runs."""
        if not self.values:
            yield
            return
        own = [np.array(values) for values in network.get_weights()]
        network.set_weights(self.values)
        try:
            yield
        finally:
            network.set_weights(own)
