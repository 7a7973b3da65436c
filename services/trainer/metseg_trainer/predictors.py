"""Networks as `metseg.segment.Predict`: the very interface that serving puts in the same place."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from metseg.errors import InputError
from metseg.segment import Batches, Predict


def keras_predictor(network: keras.Model) -> Predict:
    """Let a Keras model answer batches, on whatever backend it lives."""

    def predict(batches: Batches) -> Iterator[NDArray[np.float32]]:
        for batch in batches:
            yield np.asarray(keras.ops.convert_to_numpy(network(batch, training=False)), dtype=np.float32)

    return predict


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
