"""InceptionV3 without its top, as an encoder that hands out what it saw at each resolution.

C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016; layers and weights are
those of `keras.applications`. Its stem does not pad: each map begins some pixels inside of the image, which
`margins` tells, so that a decoder can lay it where it belongs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras

SMALLEST_SIDE = 75
"""Below this the last map is empty; `keras.applications` refuses it."""

ENCODER = "encoder"
"""Name of the encoder among the layers of a network."""

FILE_WITHOUT_TOP = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
"""Name of the ImageNet weights among the files of `keras.applications`."""


@dataclass(frozen=True)
class Grid:
    """Where the cells of a map lie in the encoder's input, along either axis, in its pixels.

    Attributes:
        stride: Distance between the centres of two cells.
        first: Centre of the first cell; pixel 0 has its centre at 0.
    """

    stride: int
    first: int

    def margins(self, side: int, cells: int) -> tuple[int, int]:
        """Return how many cells are missing at either end to cover the image, rounded.

        Args:
            side: Pixels of the encoder's input along the axis.
            cells: Cells of the map along the axis.
        """
        before = (self.first + 0.5) / self.stride - 0.5
        after = (side - 0.5 - self.first) / self.stride + 0.5 - cells
        return max(round(before), 0), max(round(after), 0)


GRIDS = (Grid(2, 3), Grid(4, 9), Grid(8, 13), Grid(16, 21), Grid(32, 37))
"""Of the encoder's maps, finest first: each 3×3 layer without padding begins a cell of its input later."""


def build_encoder(size: Sequence[int]) -> keras.Model:
    """Build the encoder, from float32 (n, *size, 3) in [-1, 1] to five maps, finest first.

    Each map is the last one of its resolution: 64, 192, 288, 768 and 2048 channels; 147², 71², 35², 17² and 8²
    cells for 299² pixels. Its weights are random and do not depend on the size.
    """
    whole = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(*size, 3))
    pools = [layer for layer in whole.layers if isinstance(layer, keras.layers.MaxPooling2D)]
    maps = [pool.input for pool in pools[:2]] + [whole.get_layer(f"mixed{block}").output for block in (2, 7, 10)]
    return keras.Model(whole.input, maps, name=ENCODER)


def encoder_sides(size: Sequence[int], encoder_size: int) -> tuple[int, int]:
    """Return the encoder's input size for slices of any size: `encoder_size` for 256 pixels, in proportion."""
    width, height = (max(round(side * encoder_size / 256), SMALLEST_SIDE) for side in size)
    return width, height
