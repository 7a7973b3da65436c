"""Train a tiny network in a process of its own: `python fit_in_process.py '{"data": …, "run": …}'`."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from metseg.schemas.model_card import Preprocessing
from metseg_trainer.batches.augmentation import Augmentation, Frame
from metseg_trainer.batches.shares import Share
from metseg_trainer.networks.presets import build_network
from metseg_trainer.recipes.options import Precision
from metseg_trainer.recipes.recipe import Recipe, Source, Stage
from metseg_trainer.training import fit
from metseg_trainer.training.devices import Hardware
from metseg_trainer.training.run_folder import RunFolder
from metseg_trainer.training_data.sources import Paths

FRAME = Frame((32, 32), scale=0.5)


def tiny_recipe(network: str, epochs: int) -> Recipe:
    """A recipe for the slices that `write_cases` writes, in a folder called own."""
    return Recipe(
        name="tiny",
        network=network,
        preset="tiny",
        sources=(Source("own", "own", validation_patients=("case_03",), validation=Share(slices=1)),),
        stages=(Stage(epochs, FRAME, {"own": Share(slices=12)}),),
        augmentation=Augmentation(rotation_degrees=10.0, noise=0.02),
        preprocessing=Preprocessing(size=64),
        batch=4,
        precision=Precision.FLOAT32,
        validate_every=1,
    )


def slices() -> np.ndarray[Any, Any]:
    """Two slices that every process makes alike."""
    return np.random.default_rng(5).integers(0, 255, (2, *FRAME.size, 3)).astype(np.uint8)


def hang_in_epoch(epoch: int, marker: Path) -> None:
    """Let the second batch of an epoch write a marker and never come."""
    whole = fit.SliceDataset

    class Hanging(whole):
        def __getitem__(self, index: int) -> Any:
            if self._seed[1] == epoch and index == 1:
                marker.touch()
                time.sleep(600)
            return super().__getitem__(index)

    fit.SliceDataset = Hanging


def main(wish: dict[str, Any]) -> None:
    """Train as wished, and leave the predictions of the best weights beside them."""
    devices = wish.get("devices", 1)
    if devices > 1:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    folder, data = RunFolder(Path(wish["run"])), Path(wish["data"])
    if "hang_in_epoch" in wish:
        hang_in_epoch(wish["hang_in_epoch"], folder.path / "hanging")
    recipe = replace(tiny_recipe(wish["network"], wish["epochs"]), **wish.get("changes", {}))
    places = Paths(data, data / "phantoms", data / "splits", folder.path / "cache")
    fit.fit(recipe, places, folder, resume=wish.get("resume", False), hardware=Hardware(devices))
    network = build_network(recipe.network, recipe.preset, FRAME.size)
    network.load_weights(folder.best)
    found = keras.ops.convert_to_numpy(network(slices(), training=False))
    np.save(folder.path / "predicted.npy", found)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
