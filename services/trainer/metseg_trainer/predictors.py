"""Networks as `metseg.segment.Predict`: the very interface that serving puts in the same place.

What they answer is the probability of lesion, (n, w, h, 1), whatever the number of a network's classes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from metseg.errors import InputError
from metseg.segment import Batches, Predict
from metseg_trainer.losses import lesion_probability


def keras_predictor(network: keras.Model) -> Predict:
    """Let a Keras model answer batches, on whatever backend it lives."""

    def predict(batches: Batches) -> Iterator[NDArray[np.float32]]:
        for batch in batches:
            answer = lesion_channel(network(batch, training=False))
            yield np.asarray(keras.ops.convert_to_numpy(answer), dtype=np.float32)

    return predict


def lesion_channel(answer: Any) -> Any:
    """Return a network's probability of lesion, (n, w, h, 1); one channel alone is that already."""
    return answer if answer.shape[-1] == 1 else lesion_probability(answer)


def saved_model_predictor(folder: Path) -> Predict:
    """Let an exported SavedModel answer batches, with TensorFlow in this process.

    Raises:
        InputError: The folder holds no SavedModel.
    """
    import tensorflow as tf  # takes seconds to import

    if not (folder / "saved_model.pb").is_file():
        raise InputError(f"{folder} holds no SavedModel.")
    loaded = tf.saved_model.load(str(folder))

    def predict(batches: Batches) -> Iterator[NDArray[np.float32]]:
        signature = loaded.signatures["serving_default"]  # alone, it would not keep its model alive
        for batch in batches:
            yield signature(slices=tf.constant(batch))["probability"].numpy()

    return predict
