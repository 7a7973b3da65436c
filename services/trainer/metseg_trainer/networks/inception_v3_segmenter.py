"""InceptionV3 segmenter: an encoder that knows pictures of all kinds, and a decoder back to the slice.

The encoder is `metseg_trainer.networks.inception_encoder`. The plain decoder sees its last map alone (8×8 cells,
doubled five times); the one with skips also takes the finer maps, as a U-Net does (Ronneberger et al., MICCAI
2015), because a small lesion is gone long before the last map.
"""

from collections.abc import Sequence
from typing import Any

import keras

from metseg_trainer.networks.blocks import CHANNELS, convolution, probability_head
from metseg_trainer.networks.inception_encoder import GRIDS, Grid, build_encoder, encoder_sides


@keras.saving.register_keras_serializable(package="metseg")
class InceptionV3Segmenter(keras.Model):
    """The network, from `slices` uint8 (n, *size, 3) to `probability` float32 (n, *size, classes) in [0, 1].

    Its weights do not depend on the input size: smaller slices get a smaller encoder input, in proportion.

        network = InceptionV3Segmenter(**asdict(INCEPTION_V3_SEGMENTER["skips"]), size=(256, 256))
        probability = network.predict(slices)

    Args:
        filters: Channels of the decoder's five steps, finest first.
        skips: Whether the decoder sees the encoder's finer maps and the slice itself.
        encoder_size: Pixels to which 256 pixels of a slice are resized before the encoder.
        size: Sides of the input slices; with skips divisible by 16.
        classes: 1 for the probability of lesion, more for a softmax whose channel 0 is background.
        name: Name of the model.
    """

    def __init__(
        self,
        filters: Sequence[int],
        skips: bool = True,
        encoder_size: int = 299,
        size: Sequence[int] = (256, 256),
        classes: int = 1,
        name: str = "inception_v3_segmenter",
    ) -> None:
        # 1. Layers
        sides = encoder_sides(size, encoder_size)
        rescale = keras.layers.Rescaling(1.0 / 127.5, offset=-1.0, name="rescale")
        resize = keras.layers.Resizing(*sides, name="resize")
        encoder = build_encoder(sides)

        # 2. Functional graph
        slices = keras.Input((*size, CHANNELS), dtype="uint8", name="slices")
        scaled = rescale(slices)
        maps = encoder(resize(scaled))
        if skips:
            x = _decode_with_skips(scaled, maps, filters, sides)
        else:
            x = _decode_plainly(maps[-1], filters, size)
        super().__init__(inputs=slices, outputs=probability_head(x, classes), name=name)

        # 3. Config
        self.filters = tuple(filters)
        self.skips = skips
        self.encoder_size = encoder_size
        self.size = tuple(size)
        self.classes = classes

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "filters": self.filters,
            "skips": self.skips,
            "encoder_size": self.encoder_size,
            "size": self.size,
            "classes": self.classes,
            "name": self.name,
        }


def _decode_plainly(x: Any, filters: Sequence[int], size: Sequence[int]) -> Any:
    """Double the last map as often as there are filters; 8×8 cells become 256×256."""
    for step in reversed(range(len(filters))):
        layer = keras.layers.Conv2D(
            filters[step],
            3,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            name=f"decoder{step}",
        )
        x = keras.layers.UpSampling2D(2, name=f"up{step}")(layer(x))
    if tuple(x.shape[1:3]) != tuple(size):
        x = keras.layers.Resizing(*size, name="fit")(x)
    return x


def _decode_with_skips(scaled: Any, maps: Sequence[Any], filters: Sequence[int], sides: tuple[int, int]) -> Any:
    """Join the maps with strides 32 to 2, each slimmed first, and the slice itself at the end."""
    width, height = scaled.shape[1:3]
    steps = len(filters) - 1
    x = convolution(maps[steps], filters[steps], "bottom", kernel=1)
    x = _lay_out(x, GRIDS[steps], sides, (width >> steps, height >> steps), "bottom")
    for step in reversed(range(len(filters))):
        if step == 0:
            skip = scaled
        else:
            skip = convolution(maps[step - 1], filters[step], f"skip{step}", kernel=1)
            skip = _lay_out(skip, GRIDS[step - 1], sides, (width >> step, height >> step), f"skip{step}")
        x = keras.layers.Concatenate(name=f"join{step}")([x, skip])
        x = convolution(x, filters[step], f"decoder{step}")
        if step:
            x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"up{step}")(x)
    return x


def _lay_out(x: Any, grid: Grid, sides: tuple[int, int], size: tuple[int, int], name: str) -> Any:
    """Bring a map to cells that divide the whole slice evenly: first the margins it lacks, then the size."""
    margins = tuple(grid.margins(side, cells) for side, cells in zip(sides, x.shape[1:3], strict=True))
    x = keras.layers.ZeroPadding2D(margins, name=f"{name}_margins")(x)
    return keras.layers.Resizing(*size, name=f"{name}_size")(x)
