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


def keras_predictor(network: keras.Model, *, mirrored: bool = False) -> Predict:
    """Let a Keras model answer batches, on whatever backend it lives; `mirrored` as in `find_lesion`."""

    def predict(batches: Batches) -> Iterator[NDArray[np.float32]]:
        for batch in batches:
            answer = find_lesion(network, batch, mirrored=mirrored)
            yield np.asarray(keras.ops.convert_to_numpy(answer), dtype=np.float32)

    return predict


def find_lesion(network: keras.Model, slices: Any, *, mirrored: bool) -> Any:
    """Return a network's probability of lesion, (n, w, h, 1), for slices (n, w, h, 3).

    Args:
        network: Of one class or more.
        slices: uint8 in RAS+ order, so that the first axis after n runs from left to right.
        mirrored: Take the mean with the answer for the mirror image: a head is nearly symmetric, and what the
            network sees on one side only when it lies there is seldom a lesion.
    """
    answer = _lesion_channel(network(slices, training=False))
    if not mirrored:
        return answer
    mirror_image = keras.ops.flip(slices, axis=1)
    other = _lesion_channel(network(mirror_image, training=False))
    return (answer + keras.ops.flip(other, axis=1)) / 2.0


def _lesion_channel(answer: Any) -> Any:
    """One channel alone is the probability of lesion already."""
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
