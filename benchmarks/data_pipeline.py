"""Whether training waits for its data: batches a second of the pipeline against steps a second of a network.

The pipeline augments and stacks as training does, from prepared volumes in a mapped file; the network is the small
Attention U-Net. A ratio above 1 means that batches lie ready before they are wanted. Both share the cores in
training, so the last figure is the one that counts: steps fed by the pipeline against steps on a batch at hand.

    python -m benchmarks.data_pipeline
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from metseg_trainer.datasets.prepared_cases import PreparedCase

BATCH = 8
SLICES = 24
SIDE = 256


@dataclass(frozen=True)
class Rates:
    """What was measured, a second."""

    batches: float
    steps: float
    fed_steps: float

    def table(self) -> str:
        """Return the figures as lines of text."""
        return "\n".join(
            (
                f"pipeline alone            {self.batches:8.2f} batches/s",
                f"steps on a batch at hand  {self.steps:8.2f} steps/s",
                f"steps fed by the pipeline {self.fed_steps:8.2f} steps/s",
                f"pipeline against step     {self.batches / self.steps:8.2f}",
                f"fed against at hand       {self.fed_steps / self.steps:8.2f}",
            )
        )


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20, help="of each measurement (%(default)s)")
    parser.add_argument("--scale", type=float, default=0.5, help="resolution of the slices (%(default)s)")
    options = parser.parse_args()
    sys.stdout.write(measure(options.steps, options.scale).table() + "\n")


def measure(steps: int, scale: float) -> Rates:
    """Measure on 24 slices of made-up volumes, a batch of 8, with the augmentation that training uses."""
    from metseg_trainer.batches.augmentation import Frame
    from metseg_trainer.batches.dataset import Sampling, SliceDataset
    from metseg_trainer.batches.sampling import make_pool
    from metseg_trainer.batches.shares import Share
    from metseg_trainer.networks.presets import build_network
    from metseg_trainer.recipes.recipe import HEAD, STRONG

    frame = Frame((round(HEAD.size[0] * scale), round(HEAD.size[1] * scale)), scale)
    network = build_network("attention_unet", "small", frame.size)
    network.compile(optimizer="adam", loss="binary_crossentropy")
    with tempfile.TemporaryDirectory() as folder:
        pool = make_pool(_volumes(Path(folder)), Share(BATCH * steps, lesion_fraction=0.7))

        def epoch(number: int) -> SliceDataset:
            return SliceDataset([pool], Sampling(BATCH, frame, STRONG), seed=0, epoch=number)

        images, masks = epoch(0)[0]
        network.train_on_batch(images, masks)
        network.fit(epoch(1), verbose=0)
        alone = _rate(steps, lambda: [epoch(2)[index] for index in range(steps)])
        at_hand = _rate(steps, lambda: [network.train_on_batch(images, masks) for _ in range(steps)])
        fed = _rate(steps, lambda: network.fit(epoch(3), verbose=0))
    return Rates(alone, at_hand, fed)


def _rate(count: int, work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def _volumes(folder: Path) -> "list[PreparedCase]":
    from metseg_trainer.datasets.prepared_cases import PreparedCase

    rng = np.random.default_rng(0)
    cases = []
    for number in range(4):
        arrays = rng.integers(0, 256, (2, SLICES, SIDE, SIDE), dtype=np.uint8)
        arrays[1] = 0
        arrays[1, :12, 100:120, 100:120] = 1
        np.save(folder / f"{number}.npy", arrays)
        pixels, mask = np.load(folder / f"{number}.npy", mmap_mode="r")
        cases.append(PreparedCase(str(number), pixels, mask, np.arange(SLICES), (127.5, 127.5)))
    return cases


if __name__ == "__main__":
    main()
