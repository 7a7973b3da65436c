from dataclasses import replace
from pathlib import Path

import pytest
from untrained import answer, noise, unsettle_norms

from metseg.errors import RequestError
from metseg_trainer.networks.presets import build_network
from metseg_trainer.networks.unet_plus_plus import prune
from metseg_trainer.recipes.recipe import Recipe
from metseg_trainer.training.pruning import prune_run
from metseg_trainer.training.run_folder import RunFolder
from metseg_trainer.training.run_record import RunRecord, write_record
from metseg_trainer.training_data.sources import Paths


def _run(path: Path, recipe: Recipe) -> RunFolder:
    """Write what training leaves, without training."""
    folder = RunFolder(path)
    path.mkdir()
    network = unsettle_norms(build_network(recipe.network, recipe.preset, (64, 64)))
    network.save_weights(folder.best)
    write_record(folder.about, RunRecord(recipe, best_validation_dice=0.7))
    return folder


@pytest.fixture
def nested(tiny_recipe: tuple[Recipe, Paths]) -> Recipe:
    return replace(tiny_recipe[0], network="unet_plus_plus")


def test_a_pruned_run_is_a_run_of_the_smaller_network(nested: Recipe, tmp_path: Path) -> None:
    folder = _run(tmp_path / "run", nested)
    pruned = prune_run(folder, 1)
    recipe = pruned.read_recipe()
    assert recipe == replace(nested, preset="tiny-l1")
    small, whole = (build_network(r.network, r.preset, (64, 64)) for r in (recipe, nested))
    small.load_weights(pruned.weights)
    whole.load_weights(folder.weights)
    assert small.count_params() < whole.count_params()
    assert (answer(small, noise(1, 64)) == answer(prune(whole, 1), noise(1, 64))).all()


def test_no_level_leaves_the_run_as_it_is(nested: Recipe, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "nowhere")
    assert prune_run(folder, None) is folder


def test_a_run_of_another_network_cannot_be_pruned(tiny_recipe: tuple[Recipe, Paths], tmp_path: Path) -> None:
    folder = _run(tmp_path / "run", tiny_recipe[0])
    with pytest.raises(RequestError, match="expected a run of unet_plus_plus"):
        prune_run(folder, 1)


def test_a_head_that_the_run_lacks_is_refused_and_leaves_nothing(nested: Recipe, tmp_path: Path) -> None:
    folder = _run(tmp_path / "run", nested)
    with pytest.raises(RequestError, match="heads 1 to 2"):
        prune_run(folder, 3)
    assert not (folder.path / "l3").exists()
