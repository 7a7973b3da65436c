"""The sizes a network comes in, as data, and the one function that builds any of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

import keras

from metseg.errors import RequestError


@dataclass(frozen=True)
class AttentionUNetConfig:
    """The choices that make one Attention U-Net.

    Attributes:
        filters: Channels of each level, finest first; the last one is the bottom.
        dropout: Share of the bottom's channels that training drops.
    """

    filters: tuple[int, ...]
    dropout: float = 0.0


ATTENTION_UNET: Mapping[str, AttentionUNetConfig] = MappingProxyType(
    {
        "paper": AttentionUNetConfig(filters=(32, 64, 128, 256, 512), dropout=0.1),
        "small": AttentionUNetConfig(filters=(16, 32, 64, 128, 256), dropout=0.1),
        "tiny": AttentionUNetConfig(filters=(4, 8, 8)),
    }
)

NETWORKS: Mapping[str, Mapping[str, AttentionUNetConfig]] = MappingProxyType({"attention_unet": ATTENTION_UNET})


def build_network(network: str, preset: str, size: tuple[int, int] = (256, 256)) -> keras.Model:
    """Build a network by name; the names are those of the model card.

    Raises:
        RequestError: There is no such network or preset.
    """
    if preset not in NETWORKS.get(network, {}):
        known = ", ".join(f"{name}/{one}" for name, presets in NETWORKS.items() for one in presets)
        raise RequestError(f"There is no network {network}/{preset}; these exist: {known}.")
    from metseg_trainer.networks.attention_unet import AttentionUNet  # keras takes seconds to import

    return AttentionUNet(**asdict(NETWORKS[network][preset]), size=size)
