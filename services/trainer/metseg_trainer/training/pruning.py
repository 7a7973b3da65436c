"""A training run of a U-Net++ cut down to one of its heads, as a run of its own inside the run's folder.

What measures, compares and exports a run does the same with it; its card bears the cost of what is left, and the
scores that were measured with it.
"""

from dataclasses import replace

import keras

from metseg.errors import RequestError
from metseg_trainer.networks.presets import build_network, pruned_preset
from metseg_trainer.networks.weights import load_weights
from metseg_trainer.training.run_folder import RunFolder
from metseg_trainer.training.run_record import read_record, write_record


def prune_run(folder: RunFolder, level: int | None) -> RunFolder:
    """Cut a run's network down and write `<run>/l<level>/`; a level of None leaves the run as it is.

    Args:
        folder: Of the run.
        level: Head to keep, from 1.

    Returns:
        The pruned run's folder, or the run's own.

    Raises:
        InputError: The folder holds no run, or none with weights.
        RequestError: The network is no U-Net++ with such a head.
    """
    if level is None:
        return folder
    record = read_record(folder.about)
    recipe = record.recipe
    if recipe.network != "unet_plus_plus":
        raise RequestError(f"expected a run of unet_plus_plus to prune, got one of {recipe.network}")
    pruned = _prune(folder, level)
    target = RunFolder(folder.path / f"l{level}")
    target.path.mkdir(exist_ok=True)
    pruned.save_weights(target.best)
    write_record(target.about, replace(record, recipe=replace(recipe, preset=pruned_preset(recipe.preset, level))))
    return target


def _prune(folder: RunFolder, level: int) -> keras.Model:
    from metseg_trainer.networks.unet_plus_plus import prune

    recipe = folder.read_recipe()
    side = recipe.preprocessing.size
    network = build_network(recipe.network, recipe.preset, (side, side), classes=recipe.classes)
    load_weights(network, folder.weights)
    return prune(network, level)
