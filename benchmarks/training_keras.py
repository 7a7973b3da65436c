"""The trainer's side of `benchmarks.training`: `python -m benchmarks.training_keras WISH.json`."""

import json
import sys
from pathlib import Path

import keras
import numpy as np

from benchmarks.turns import take_turns
from metseg_trainer.networks.batch_norm_folding import count_gflop
from metseg_trainer.networks.presets import build_network, supervised
from metseg_trainer.training.losses import DeepSupervision, DiceCrossEntropy


def main() -> None:
    """Build the network, and step when asked to."""
    wish = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = Path(wish["folder"])
    slices, masks = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("slices", "masks"))
    keras.utils.set_random_seed(wish["seed"])
    keras.config.set_dtype_policy("mixed_bfloat16" if wish["bfloat16"] else "float32")
    network = build_network(wish["network"], wish["preset"], slices.shape[2:4])
    model, weights = supervised(network, classes=1)
    optimizer = keras.optimizers.AdamW(
        wish["rates"][0], weight_decay=wish["weight_decay"], clipnorm=wish["clip_norm"]
    )
    loss = DiceCrossEntropy() if len(weights) == 1 else DeepSupervision(DiceCrossEntropy(), weights)
    model.compile(optimizer, loss)

    def step(number: int) -> float:
        optimizer.learning_rate = wish["rates"][number]
        model.reset_metrics()  # else the loss is the mean of all steps so far
        return float(model.train_on_batch(np.asarray(slices[number]), np.asarray(masks[number])))

    def finish(path: Path) -> None:
        found = network.predict(np.load(folder / "kept.npy"), batch_size=8, verbose=0)
        np.save(path, found)

    facts = {"parameters": network.count_params(), "gflop": count_gflop(network), "heads": len(weights)}
    take_turns(facts, step, finish)


if __name__ == "__main__":
    main()
