"""What a run shows while it trains: a bar of the steps on a terminal, one line an epoch in any case."""

import logging
import sys
from collections.abc import Mapping
from typing import Any

import keras
from tqdm import tqdm

logger = logging.getLogger(__name__)

_FIGURES = ("loss", "dice_at_half")


class EpochBar(keras.callbacks.Callback):
    """A bar over the steps of one epoch, with loss and Dice so far; silent where nobody looks.

    Args:
        epoch: Number of the epoch, from 1.
        epochs: Epochs of the run.
        steps: Steps of the epoch.
    """

    def __init__(self, epoch: int, epochs: int, steps: int) -> None:
        super().__init__()
        self._title = f"epoch {epoch}/{epochs}"
        self._steps = steps
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        """Begin the bar."""
        self._bar = tqdm(
            desc=self._title, total=self._steps, unit="step", leave=False, disable=not sys.stderr.isatty()
        )

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        """Go on by a step."""
        if not self._bar.disable:
            figures = logs or {}
            self._bar.set_postfix({name: f"{float(figures[name]):.3f}" for name in _FIGURES if name in figures})
        self._bar.update()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        """Take the bar away."""
        self._bar.close()


def tell_epoch(row: Mapping[str, float], epochs: int) -> None:
    """Log an epoch's figures in one line."""
    figures = [
        f"{name.replace('_', ' ')} {value:.4g}" for name, value in row.items() if name not in ("epoch", "seconds")
    ]
    logger.info("epoch %d/%d: %s, %.1f s", row["epoch"], epochs, ", ".join(figures), row["seconds"])
