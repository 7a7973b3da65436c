"""Networks as `metseg.inference.segment.Predict`: the very interface that serving puts in the same place.

What they answer is the probability of lesion, (n, w, h, 1), whatever the number of a network's classes.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from metseg.errors import InputError
from metseg.inference.segment import Batches, Predict
from metseg_trainer.networks.blocks import is_probability
from metseg_trainer.training.losses import lesion_probability


def keras_predictor(network: keras.Model, *, mirrored: bool = False) -> Predict:
    """Let a Keras model answer batches, on whatever backend it lives; `mirrored` as in `lesion_finder`."""
    find = lesion_finder(network, mirrored=mirrored)

    def predict(batches: Batches) -> Iterator[NDArray[np.float32]]:
        for batch in batches:
            yield np.asarray(keras.ops.convert_to_numpy(find(batch)), dtype=np.float32)

    return predict


def lesion_finder(network: keras.Model, *, mirrored: bool) -> Callable[[Any], Any]:
    """Make a function from slices, uint8 (n, w, h, 3) in RAS+ order, to the probability of lesion, (n, w, h, 1).

    Args:
        network: Of one class or more.
        mirrored: Pool the answers for the slices and for their mirror images, left for right: a head is nearly
            symmetric, and what the network sees on one side only when it lies there is seldom a lesion. The pool
            is logarithmic, the sigmoid of the mean of the logits (Genest and Zidek, "Combining probability
            distributions", Statistical Science 1986): where two answers contradict each other the surer one
            prevails, while their plain mean is one half, however sure they are.
    """
    if not mirrored:
        return lambda slices: _lesion_channel(network(slices, training=False))
    scores = keras.Model(network.input, [layer.input for layer in network.layers if is_probability(layer)])

    def find(slices: Any) -> Any:
        mirror_image = keras.ops.flip(slices, axis=1)
        here, there = (_log_odds(scores(seen, training=False)) for seen in (slices, mirror_image))
        return keras.ops.sigmoid((here + keras.ops.flip(there, axis=1)) / 2.0)

    return find


def _lesion_channel(answer: Any) -> Any:
    """One channel alone is the probability of lesion already."""
    return answer if answer.shape[-1] == 1 else lesion_probability(answer)


def _log_odds(scores: Any) -> Any:
    """Return the logit of the mean of all heads' probabilities of lesion, from what their last layers were given.

    Scores, unlike probabilities, tell how sure an answer near 1 is.
    """
    heads = [keras.ops.cast(head, "float32") for head in (scores if isinstance(scores, list) else [scores])]
    lesion, none = zip(*map(_log_probabilities, heads), strict=True)
    return keras.ops.logsumexp(keras.ops.stack(lesion), axis=0) - keras.ops.logsumexp(
        keras.ops.stack(none), axis=0
    )


def _log_probabilities(head: Any) -> tuple[Any, Any]:
    """Return the logarithms of the probabilities of lesion and of none."""
    if head.shape[-1] == 1:
        return keras.ops.log_sigmoid(head), keras.ops.log_sigmoid(-head)
    classes = keras.ops.log_softmax(head)
    return keras.ops.logsumexp(classes[..., 1:], axis=-1, keepdims=True), classes[..., :1]


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
