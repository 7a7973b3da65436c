"""The peer's side of `benchmarks.training`, in an environment with torch and monai and nothing of metseg.

PEER_PYTHON -m benchmarks.training_monai WISH.json
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.nets import AttentionUnet, BasicUNetPlusPlus
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.turns import take_turns

KERAS_EPSILON = 1e-7
"""Of Keras's AdamW; torch has 1e-8."""


def build(network: str, filters: list[int]) -> torch.nn.Module:
    """Build the peer's network of that name with the same channels, all else as MONAI sets it."""
    if network == "attention_unet":
        strides = [2] * (len(filters) - 1)
        return AttentionUnet(2, in_channels=3, out_channels=1, channels=filters, strides=strides, dropout=0.1)
    features = (*filters, filters[0])
    return BasicUNetPlusPlus(2, in_channels=3, out_channels=1, features=features, deep_supervision=True)


def loss_of(heads: list[torch.Tensor], truth: torch.Tensor) -> torch.Tensor:
    """Return the very loss of the trainer: one minus soft Dice, plus cross-entropy, averaged over the heads."""
    losses = []
    for scores in heads:
        scores = scores.float()
        probability = torch.sigmoid(scores)
        overlap = (truth * probability).sum((1, 2, 3))
        total = truth.sum((1, 2, 3)) + probability.sum((1, 2, 3))
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(scores, truth)
        losses.append((1.0 - (2.0 * overlap + 1.0) / (total + 1.0)).mean() + entropy)
    return torch.stack(losses).mean()


def heads_of(answer: Any) -> list[torch.Tensor]:
    """Return a network's answer as a list of heads."""
    return list(answer) if isinstance(answer, list | tuple) else [answer]


def to_tensor(batch: np.ndarray[Any, Any]) -> torch.Tensor:
    """Turn (n, w, h, c) into float (n, c, w, h), channels last in memory, where torch is quicker."""
    tensor = torch.from_numpy(np.array(batch)).permute(0, 3, 1, 2).float()
    return tensor.contiguous(memory_format=torch.channels_last)


def main() -> None:
    """Build the network, and step when asked to."""
    wish = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = Path(wish["folder"])
    slices, masks = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("slices", "masks"))
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(wish["seed"])
    network = build(wish["network"], wish["filters"]).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=wish["rates"][0], weight_decay=wish["weight_decay"], eps=KERAS_EPSILON
    )

    def answer(batch: np.ndarray[Any, Any]) -> list[torch.Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=wish["bfloat16"]):
            return heads_of(network(to_tensor(batch) / 255.0))

    def step(number: int) -> float:
        for group in optimizer.param_groups:
            group["lr"] = wish["rates"][number]
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(answer(slices[number]), to_tensor(masks[number]))
        loss.backward()
        for parameter in network.parameters():  # Keras's clipnorm bounds each variable by itself
            torch.nn.utils.clip_grad_norm_([parameter], wish["clip_norm"])
        optimizer.step()
        return float(loss.detach())

    def finish(path: Path) -> None:
        network.eval()
        kept = np.load(folder / "kept.npy")
        with torch.no_grad():
            parts = [
                torch.stack([torch.sigmoid(head.float()) for head in answer(kept[i : i + 8])]).mean(0)
                for i in range(0, len(kept), 8)
            ]
        np.save(path, torch.cat(parts).permute(0, 2, 3, 1).numpy())

    counter = FlopCounterMode(display=False)
    network.eval()
    with torch.no_grad(), counter:
        heads = len(answer(slices[0][:1]))
    network.train()
    facts = {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "gflop": counter.get_total_flops() / 1e9,
        "heads": heads,
    }
    take_turns(facts, step, finish)


if __name__ == "__main__":
    main()
