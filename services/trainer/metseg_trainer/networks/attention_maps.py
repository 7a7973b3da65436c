"""Where an Attention U-Net looks: its gates' weights, to be drawn over the slices."""

import keras
import numpy as np
from numpy.typing import NDArray

from metseg.errors import RequestError
from metseg_trainer.networks.attention_unet import AttentionUNet, alpha_name


def attention_maps(network: keras.Model, slices: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Return the weights that each gate gives to its skip connection (alpha of equation 2 of the paper).

    Args:
        network: An `AttentionUNet`.
        slices: (n, w, h, 3).

    Returns:
        (n, w, h) in [0, 1] for each level, finest first, all at the resolution of the slices.

    Raises:
        RequestError: The network has no gates.
    """
    if not isinstance(network, AttentionUNet):
        raise RequestError(f"expected a network with attention gates (attention_unet), got {network.name}")
    alphas = [network.get_layer(alpha_name(level)).output for level in range(len(network.filters) - 1)]
    gates = keras.Model(network.input, alphas)
    return [_at_size(alpha, slices.shape[1:3]) for alpha in keras.tree.flatten(gates(slices, training=False))]


def _at_size(alpha: object, size: tuple[int, ...]) -> NDArray[np.float32]:
    resized = keras.ops.image.resize(keras.ops.cast(alpha, "float32"), size, interpolation="bilinear")
    return np.asarray(keras.ops.convert_to_numpy(resized)[..., 0], dtype=np.float32)
