"""What an InceptionV3 segmenter's encoder already knows before training, and whether training may change it."""

from pathlib import Path

import keras

from metseg.errors import InputError, RequestError
from metseg_trainer.networks.inception_encoder import ENCODER, FILE_WITHOUT_TOP, SMALLEST_SIDE
from metseg_trainer.networks.weights import load_weights

IMAGENET = "imagenet"


def load_encoder_weights(network: keras.Model, source: str | Path) -> None:
    """Give a network's encoder weights that were learnt elsewhere.

    Args:
        network: With an encoder.
        source: `imagenet`, which Keras fetches and keeps; a `.weights.h5` that `metseg-train pretrain` wrote; or
            the file without top of `keras.applications`, an `.h5`.

    Raises:
        RequestError: The network has no encoder.
        InputError: The weights cannot be fetched, or the file is missing or holds others.
    """
    encoder = encoder_of(network)
    path = Path(source)
    if source == IMAGENET:
        encoder.set_weights(_fetch_imagenet().get_weights())
    elif path.name.endswith(".weights.h5"):
        load_weights(encoder, path)
    else:
        encoder.set_weights(_read_without_top(path).get_weights())


def freeze_encoder(network: keras.Model, frozen: bool) -> None:
    """Let training leave the encoder as it is, or let it change again; to be called before the model is compiled.

    The batch norms of a frozen encoder keep to their running mean and variance in training, too.

    Raises:
        RequestError: The network has no encoder.
    """
    encoder_of(network).trainable = not frozen


def encoder_of(network: keras.Model) -> keras.Model:
    """Return a network's encoder.

    Raises:
        RequestError: It has none.
    """
    for layer in network.layers:
        if layer.name == ENCODER:
            return layer
    raise RequestError(f"expected a network with an encoder (inception_v3_segmenter), got {network.name}")


def _fetch_imagenet() -> keras.Model:
    try:
        return _without_top(IMAGENET)
    except Exception as exc:  # Keras raises a bare Exception where a download fails
        raise InputError(
            f"The ImageNet weights cannot be fetched; get {FILE_WITHOUT_TOP} from keras.applications on a machine "
            "with a network and name it by --encoder-weights FILE."
        ) from exc


def _read_without_top(path: Path) -> keras.Model:
    try:
        return _without_top(str(path))
    except (OSError, ValueError, KeyError) as exc:
        raise InputError(f"{path} holds no weights of InceptionV3 without its top.") from exc


def _without_top(weights: str) -> keras.Model:
    return keras.applications.InceptionV3(
        include_top=False, weights=weights, input_shape=(SMALLEST_SIDE, SMALLEST_SIDE, 3)
    )
