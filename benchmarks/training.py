"""Training against MONAI's networks of the same kind and channels: time of a step, memory, Dice.

Both sides train on the very same batches (the Cheng split, augmented once and kept on disk), in the same order,
by the same loss, AdamW and rates, for the same number of steps, and are judged on the same validation slices.
They run in processes of their own, since frameworks do not mix, and take turns on the same cores: while one
computes, the other waits. MONAI gets channels-last tensors and all cores.

    python -m venv peer && peer/bin/pip install torch==2.13.0 monai==1.6.1
    python -m benchmarks.training --peer-python peer/bin/python                       (METSEG_DATA is set)
    python -m benchmarks.training --peer-python peer/bin/python --network unet_plus_plus --steps 1000
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.turns import Runner
from metseg_trainer.batches.augmentation import Frame
from metseg_trainer.batches.shares import Share
from metseg_trainer.networks.presets import NETWORKS
from metseg_trainer.recipes.recipe import HALF_HEAD, HEAD, Recipe
from metseg_trainer.recipes.shipped import RECIPES
from metseg_trainer.training_data.sources import Paths, load_pool

ROOT = Path(__file__).parent.parent
CLIP_NORM = 1.0
WARMUP = 0.05


def main() -> int:
    """Prepare the batches, let both sides train in turns, print the table."""
    options = _parser().parse_args()
    recipe = RECIPES["shipped"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept_masks = write_batches(folder, options, recipe)
        wish = _wish(folder, options, recipe)
        (folder / "wish.json").write_text(json.dumps(wish), encoding="utf-8")
        sides = {
            "metseg": Runner([sys.executable, "-m", "benchmarks.training_keras", f"{folder}/wish.json"], ROOT),
            "MONAI": Runner([options.peer_python, "-m", "benchmarks.training_monai", f"{folder}/wish.json"], ROOT),
        }
        try:
            _interleave(list(sides.values()), options.steps, options.turn)
            dice = {}
            for side, runner in sides.items():
                runner.finish(folder / f"{side}.npy")
                dice[side] = mean_dice(np.load(folder / f"{side}.npy"), kept_masks)
        finally:
            for runner in sides.values():
                runner.stop()
        sys.stdout.write(_table(options, sides, dice))
    return 0


def write_batches(folder: Path, options: argparse.Namespace, recipe: Recipe) -> np.ndarray[Any, Any]:
    """Write all training batches and the validation slices once, and return the validation masks.

    `slices.npy` is uint8 (step, n, w, h, 3), `masks.npy` (step, n, w, h, 1), `kept.npy` (n, w, h, 3).
    """
    from metseg_trainer.batches.dataset import Sampling, SliceDataset, unchanged_slices

    source, frame = recipe.sources[0], _frame(options)
    places = Paths(options.data, folder / "phantoms", ROOT / "splits", options.cache)
    share = Share(slices=options.steps * options.batch)
    pool = load_pool(source, share, places, recipe.preprocessing, part="train")
    kept = load_pool(source, source.validation, places, recipe.preprocessing, part="validation")
    sampling = Sampling(options.batch, frame, recipe.augmentation)
    batches = SliceDataset([pool], sampling, seed=options.seed, epoch=0)
    shape = (options.steps, options.batch, *frame.size)
    slices, masks = (
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.uint8, shape=(*shape, channels))
        for name, channels in (("slices", 3), ("masks", 1))
    )
    for number in tqdm(range(options.steps), desc="batches"):
        slices[number], classes = batches[number]
        masks[number] = classes > 0
    kept_slices, kept_masks = unchanged_slices([kept], frame)[0]
    np.save(folder / "kept.npy", kept_slices)
    return (kept_masks > 0).astype(np.uint8)


def mean_dice(probability: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    """Return the mean over slices of the Dice coefficient at 0.5; both arrays are (n, w, h, 1)."""
    found, there = probability > 0.5, truth > 0
    both, total = (found & there).sum((1, 2, 3)), found.sum((1, 2, 3)) + there.sum((1, 2, 3))
    return float(np.mean(np.where(total == 0, 1.0, 2 * both / np.maximum(total, 1))))


def rates_of(steps: int, highest: float) -> list[float]:
    """Return the rate of each step: a warm-up, then a cosine to zero."""
    warmup = max(round(WARMUP * steps), 1)
    rising = [highest * step / warmup for step in range(warmup)]
    falling = np.linspace(0, np.pi, max(steps - warmup, 1), endpoint=False)
    return rising + [float(highest * (1 + np.cos(angle)) / 2) for angle in falling]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("METSEG_DATA")
    parser.add_argument("--peer-python", required=True, help="an interpreter with torch and monai")
    parser.add_argument("--network", default="attention_unet", choices=("attention_unet", "unet_plus_plus"))
    parser.add_argument("--preset", default="small", help="its channels are the peer's, too (%(default)s)")
    parser.add_argument("--steps", type=int, default=120, help="of either side (%(default)s)")
    parser.add_argument("--turn", type=int, default=10, help="steps of one turn (%(default)s)")
    parser.add_argument("--batch", type=int, default=8, help="slices of a step (%(default)s)")
    parser.add_argument("--full", action="store_true", help="heads at full resolution, not at half")
    parser.add_argument("--bfloat16", action="store_true", help="compute in bfloat16 on both sides")
    parser.add_argument("--seed", type=int, default=1, help="of both sides (%(default)s)")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None, help="(METSEG_DATA)")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="prepared slices (%(default)s)")
    return parser


def _frame(options: argparse.Namespace) -> Frame:
    return HEAD if options.full else HALF_HEAD


def _wish(folder: Path, options: argparse.Namespace, recipe: Recipe) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "network": options.network,
        "preset": options.preset,
        "filters": list(NETWORKS[options.network][options.preset].filters),
        "rates": rates_of(options.steps, recipe.learning_rate),
        "weight_decay": recipe.weight_decay,
        "clip_norm": CLIP_NORM,
        "bfloat16": options.bfloat16,
        "seed": options.seed,
    }


def _interleave(runners: list[Runner], steps: int, turn: int) -> None:
    """Let both take turns; who goes first changes from round to round."""
    with tqdm(total=steps, desc="steps of both") as bar:
        done = 0
        while done < steps:
            now = min(turn, steps - done)
            for runner in runners:
                runner.run(now)
            runners.reverse()
            done += now
            bar.update(now)


def _table(options: argparse.Namespace, sides: dict[str, Runner], dice: dict[str, float]) -> str:
    ours, theirs = sides.values()
    rows = [
        ("parameters, millions", *(side.facts["parameters"] / 1e6 for side in (ours, theirs))),
        ("forward, GFLOP a slice", *(side.facts["gflop"] for side in (ours, theirs))),
        ("first step, s", ours.seconds[0], theirs.seconds[0]),
        ("step, median ms", *(1e3 * float(np.median(side.seconds[1:])) for side in (ours, theirs))),
        ("step, least ms", *(1e3 * min(side.seconds[1:]) for side in (ours, theirs))),
        ("all steps, s", sum(ours.seconds), sum(theirs.seconds)),
        ("peak memory, MiB", ours.facts["peak_mib"], theirs.facts["peak_mib"]),
        ("loss of the last ten", *(float(np.mean(side.losses[-10:])) for side in (ours, theirs))),
        ("validation Dice", dice["metseg"], dice["MONAI"]),
    ]
    size = "×".join(str(side) for side in _frame(options).size)
    lines = [
        f"{options.network}/{options.preset}: {options.steps} steps of {options.batch} slices of {size}",
        f"{'':24}{'metseg':>12}{'MONAI':>12}{'MONAI/metseg':>14}",
        *(f"{name:24}{mine:12.3f}{peer:12.3f}{peer / mine if mine else 0:14.2f}" for name, mine, peer in rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
