"""The sizes a network comes in, as data, and the functions that build any of them for use and for training."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from metseg.errors import RequestError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class AttentionUNetConfig:
    """The choices that make one Attention U-Net.

    Attributes:
        filters: Channels of each level, finest first; the last one is the bottom.
        dropout: Share of the bottom's channels that training drops.
    """

    filters: tuple[int, ...]
    dropout: float = 0.0


@dataclass(frozen=True)
class UNetPlusPlusConfig:
    """The choices that make one U-Net++.

    Attributes:
        filters: Channels of each level, finest first.
        dropout: Share of the bottom's channels that training drops.
        level: Head to answer with; None takes the mean of all.
    """

    filters: tuple[int, ...]
    dropout: float = 0.0
    level: int | None = None


@dataclass(frozen=True)
class InceptionV3SegmenterConfig:
    """The choices that make one InceptionV3 segmenter.

    Attributes:
        filters: Channels of the decoder's five steps, finest first.
        skips: Whether the decoder sees the encoder's finer maps and the slice itself.
        encoder_size: Pixels to which 256 pixels of a slice are resized before the encoder.
    """

    filters: tuple[int, ...]
    skips: bool = True
    encoder_size: int = 299


Config = AttentionUNetConfig | UNetPlusPlusConfig | InceptionV3SegmenterConfig

ATTENTION_UNET: Mapping[str, AttentionUNetConfig] = MappingProxyType(
    {
        "paper": AttentionUNetConfig(filters=(32, 64, 128, 256, 512), dropout=0.1),
        "small": AttentionUNetConfig(filters=(16, 32, 64, 128, 256), dropout=0.1),
        "deep": AttentionUNetConfig(filters=(16, 32, 64, 128, 192, 256), dropout=0.1),
        "tiny": AttentionUNetConfig(filters=(4, 8, 8)),
    }
)


def pruned_preset(preset: str, level: int) -> str:
    """Return the name of a U-Net++ preset cut down to what one head needs."""
    return f"{preset}-l{level}"


def _with_levels(presets: Mapping[str, UNetPlusPlusConfig]) -> Mapping[str, UNetPlusPlusConfig]:
    pruned = {
        pruned_preset(name, level): replace(config, level=level)
        for name, config in presets.items()
        for level in range(1, len(config.filters))
    }
    return MappingProxyType({**presets, **pruned})


# "small" doubles from 12: nodes of the finest level are most of the work, and the deeper levels keep the paper's
# proportions. 8.4 GFLOP a slice; 16 at the finest level alone would take 15 % more time a step. "narrow" is as
# deep as the paper's and, like "tiny", for tests.
UNET_PLUS_PLUS = _with_levels(
    {
        "paper": UNetPlusPlusConfig(filters=(32, 64, 128, 256, 512)),
        "small": UNetPlusPlusConfig(filters=(12, 24, 48, 96, 192), dropout=0.1),
        "narrow": UNetPlusPlusConfig(filters=(4, 4, 6, 6, 8)),
        "tiny": UNetPlusPlusConfig(filters=(4, 6, 8)),
    }
)

# The encoder alone takes 11.4 GFLOP a slice: what is left of 12 buys the decoder with skips one slim convolution a
# step, the last of which sees the slice itself.
INCEPTION_V3_SEGMENTER: Mapping[str, InceptionV3SegmenterConfig] = MappingProxyType(
    {
        "skips": InceptionV3SegmenterConfig(filters=(8, 12, 20, 32, 64)),
        "plain": InceptionV3SegmenterConfig(filters=(16, 32, 64, 128, 256), skips=False),
    }
)

NETWORKS: Mapping[str, Mapping[str, Config]] = MappingProxyType(
    {
        "attention_unet": ATTENTION_UNET,
        "unet_plus_plus": UNET_PLUS_PLUS,
        "inception_v3_segmenter": INCEPTION_V3_SEGMENTER,
    }
)


def build_network(
    network: str, preset: str, size: tuple[int, int] = (256, 256), *, classes: int = 1
) -> "keras.Model":
    """Build a network by name; the names are those of the model card.

    Args:
        network: One of `NETWORKS`.
        preset: One of the network's.
        size: Sides of the input slices.
        classes: 1 for the probability of lesion, more for a softmax whose channel 0 is background.

    Raises:
        RequestError: There is no such network or preset, or it cannot take slices of this size.
    """
    if preset not in NETWORKS.get(network, {}):
        known = ", ".join(f"{name}/{one}" for name, presets in NETWORKS.items() for one in presets)
        raise RequestError(f"There is no network {network}/{preset}; these exist: {known}.")
    config = NETWORKS[network][preset]
    step = _step(config)
    if any(side % step for side in size):
        raise RequestError(f"{network}/{preset} takes slices with sides divisible by {step}, got {size}.")
    return _class_of(network)(**asdict(config), size=size, classes=classes)


def supervised(network: "keras.Model", classes: int) -> tuple["keras.Model", tuple[float, ...]]:
    """Return what training looks at, over the same layers, and the weight of each of its heads.

    A U-Net++ with all its heads answers with each of them, one after the other on the channel axis:
    (n, w, h, heads * classes), all of the same weight. A network with `coarse_features` gets a head on each of
    them, too, whose answer is enlarged to the size of the slices and has half the weight of the finer one; the
    served network does not have these heads. Any other network is its own single head.
    """
    import keras  # takes seconds to import

    if len(getattr(network, "heads", ())) > 1:
        heads, weights = network.heads, (1.0,) * len(network.heads)
    else:
        features = getattr(network, "coarse_features", ())
        heads = [network.output, *(_coarse_head(x, classes, k) for k, x in enumerate(features, 1))]
        weights = tuple(0.5**k for k in range(len(heads)))
    if len(heads) == 1:
        return network, weights
    joined = keras.layers.Concatenate(dtype="float32", name="heads")(heads)
    return keras.Model(network.input, joined, name=f"{network.name}_supervised"), weights


def _coarse_head(features: Any, classes: int, level: int) -> Any:
    """Return the probabilities that a coarser level would answer with, at the resolution of the slices."""
    import keras

    from metseg_trainer.networks.blocks import probability_head

    answer = probability_head(features, classes, f"coarse_head{level}", f"coarse_probability{level}")
    grow = keras.layers.UpSampling2D(2**level, interpolation="bilinear", dtype="float32", name=f"coarse_up{level}")
    return grow(answer)


def _step(config: Config) -> int:
    """Return what the sides of a slice must be divisible by."""
    if isinstance(config, InceptionV3SegmenterConfig) and not config.skips:
        return 1
    return int(2 ** (len(config.filters) - 1))


def _class_of(network: str) -> Any:
    if network == "attention_unet":
        from metseg_trainer.networks.attention_unet import AttentionUNet

        return AttentionUNet
    if network == "unet_plus_plus":
        from metseg_trainer.networks.unet_plus_plus import UNetPlusPlus

        return UNetPlusPlus
    from metseg_trainer.networks.inception_v3_segmenter import InceptionV3Segmenter

    return InceptionV3Segmenter
