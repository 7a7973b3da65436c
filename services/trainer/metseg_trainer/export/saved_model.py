"""From trained weights to what TF Serving hosts: a frozen SavedModel with card and warm-up requests.

The network is folded (`metseg_trainer.networks.batch_norm_folding`) and its weights become constants, so that
they lie on the disk
once. A network of several classes answers with the probability of lesion of any kind, as every served model does.
What is written is loaded again and compared with the Keras network before it takes its place.
"""

import os
import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from metseg.errors import CardError, MetsegError
from metseg.schemas.model_card import CARD_PATH, ModelCard
from metseg_trainer.evaluation.predictors import keras_predictor, lesion_finder, saved_model_predictor
from metseg_trainer.networks.batch_norm_folding import fold_batch_norm

WARMUP_PATH = Path("assets.extra") / "tf_serving_warmup_requests"
WARMUP_BATCHES = (1, 2, 4, 8, 16)
"""Every batch that TF Serving runs: the `allowed_batch_sizes` of its batching.config."""
LARGEST_DIFFERENCE = 1e-4
"""How far the exported network's probability may be from the Keras network's."""


class ExportDiffersError(MetsegError):
    """The exported network does not answer like the trained one."""

    code = "export_differs"


def export_network(network: keras.Model, card: ModelCard, models: Path) -> Path:
    """Write `models/<name>/<version>/`; it is there whole or not at all.

    Args:
        network: With the preprocessing's input size.
        card: Goes into the export; names the folder.
        models: The folder that TF Serving reads.

    Returns:
        The version's folder; what was there before is replaced.

    Raises:
        ExportDiffersError: What was written does not answer like `network`.
    """
    target = models / card.name / str(card.version)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        _write_saved_model(network, card, unfinished)
        (unfinished / CARD_PATH).parent.mkdir(exist_ok=True)
        card.write(unfinished / CARD_PATH)
        _write_warmup(unfinished / WARMUP_PATH, card)
        check_export(network, unfinished, card)
        if target.exists():
            shutil.rmtree(target)
        unfinished.replace(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def is_exported(card: ModelCard, models: Path) -> bool:
    """Say whether this very card's model lies in the folder already."""
    folder = models / card.name / str(card.version)
    try:
        return (folder / "saved_model.pb").is_file() and ModelCard.read(folder / CARD_PATH) == card
    except CardError:
        return False


def check_export(network: keras.Model, folder: Path, card: ModelCard) -> float:
    """Compare an export with its network on noise and on smooth shapes.

    Returns:
        The largest difference of any probability.

    Raises:
        ExportDiffersError: It is larger than `LARGEST_DIFFERENCE`.
    """
    size = card.preprocessing.size
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    x, y = np.meshgrid(*[np.linspace(-1, 1, size)] * 2, indexing="ij")
    ball = 255 * np.exp(-3 * ((x - 0.2) ** 2 + y**2))
    shapes = np.repeat(ball.astype(np.uint8)[None, :, :, None], 3, axis=-1)
    batches: list[NDArray[np.uint8]] = [noise, np.concatenate([shapes, noise, shapes // 2])]
    trained = keras_predictor(network, mirrored=card.mirrored)
    pairs = zip(trained(batches), saved_model_predictor(folder)(batches), strict=True)
    difference = max(float(np.abs(one - other).max()) for one, other in pairs)
    if not difference < LARGEST_DIFFERENCE:
        raise ExportDiffersError(
            f"expected the export to answer like the network to {LARGEST_DIFFERENCE:g}, got {difference:g}"
        )
    return difference


def _write_saved_model(network: keras.Model, card: ModelCard, folder: Path) -> None:
    folded = fold_batch_norm(network)
    find = lesion_finder(folded, mirrored=card.mirrored)
    spec = tf.TensorSpec((None, *folded.input_shape[1:]), tf.uint8, name="slices")

    @tf.function(input_signature=[spec])
    def probability(slices: tf.Tensor) -> tf.Tensor:
        return find(slices)

    frozen = convert_variables_to_constants_v2(probability.get_concrete_function())

    @tf.function(input_signature=[spec])
    def serve(slices: tf.Tensor) -> dict[str, tf.Tensor]:
        (answer,) = frozen(slices)
        return {"probability": tf.ensure_shape(answer, (None, *folded.output_shape[1:-1], 1))}

    module = tf.Module(name=card.name)
    module.frozen = frozen
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})


def _write_warmup(path: Path, card: ModelCard) -> None:
    size = card.preprocessing.size
    with tf.io.TFRecordWriter(str(path)) as writer:
        for n in WARMUP_BATCHES:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = card.name
            request.model_spec.signature_name = "serving_default"
            slices = tf.make_tensor_proto(np.zeros((n, size, size, 3), np.uint8))
            request.inputs["slices"].CopyFrom(slices)
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
