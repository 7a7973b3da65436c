"""The running mean of a network's weights over the steps of a stage."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np


class WeightAverage(keras.callbacks.Callback):
    """An exponential mean of weights, one value a step, after Polyak & Juditsky (SIAM J. Control 1992).

    The first steps of a stage weigh more, so that the mean does not begin with untrained weights: step n keeps at
    most (1 + n) / (10 + n) of it. Batch norm's running statistics are averaged with the weights.

    Args:
        keep: What each step keeps of the mean before it, in [0, 1); 0 keeps no mean at all.
        values: Where an earlier mean goes on.
        steps: Steps of the stage that the earlier mean holds.
    """

    def __init__(self, keep: float, values: list[np.ndarray[Any, Any]] | None = None, steps: int = 0) -> None:
        super().__init__()
        self._keep = keep
        self._steps = steps
        self.network: keras.Model | None = None
        self.values = values or []

    def begin_stage(self, network: keras.Model, steps: int) -> None:
        """Follow a network from a step of its stage on; step 0 forgets the mean of the stage before."""
        self.network = network
        self._steps = steps
        if not steps:
            self.values = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Take in the weights of one more step."""
        if self.network is not None:
            self.update(self.network)

    def update(self, network: keras.Model) -> None:
        """Take in the weights of one more step."""
        if not self._keep:
            return
        keep = min(self._keep, (1 + self._steps) / (10 + self._steps))
        self._steps += 1
        new = network.get_weights()
        if not self.values:
            self.values = [np.array(values) for values in new]
            return
        for mean, now in zip(self.values, new, strict=True):
            if np.issubdtype(mean.dtype, np.floating):
                mean += (1.0 - keep) * (now - mean)
            else:
                mean[...] = now

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
