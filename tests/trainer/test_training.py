from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from metseg.errors import InputError
from metseg_trainer import training
from metseg_trainer.augment import Augmentation
from metseg_trainer.checkpoints import State, read_checkpoint, restore_state, state_of
from metseg_trainer.choices import LossKind, OptimizerKind, Precision
from metseg_trainer.learning import build_learner
from metseg_trainer.networks.presets import build_network
from metseg_trainer.own_recipes import OwnChoices, recipe_for_source
from metseg_trainer.recipes import Recipe, Share, Source, Stage
from metseg_trainer.run_folder import RunFolder
from metseg_trainer.sources import Places, cases_of
from metseg_trainer.training import fit


class _Killed(Exception):
    """Stands for a process that ends in the middle of a run."""


@pytest.mark.slow
def test_a_run_goes_on_after_a_kill_as_if_nothing_had_happened(
    tiny_recipe: tuple[Recipe, Places], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, places = tiny_recipe
    recipe = replace(recipe, stages=(replace(recipe.stages[0], epochs=3),))
    whole, broken = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "broken")
    fit(recipe, places, whole)

    real_draw = training.draw_curves

    def draw_and_die(path: Path, rows: list[dict[str, float]]) -> None:
        real_draw(path, rows)
        if len(rows) == 2:
            raise _Killed

    monkeypatch.setattr(training, "draw_curves", draw_and_die)
    with pytest.raises(_Killed):
        fit(recipe, places, broken)
    monkeypatch.undo()
    progress = fit(recipe, places, broken, resume=True)

    state, expected = read_checkpoint(broken.checkpoint), read_checkpoint(whole.checkpoint)
    assert progress.epoch == 3
    for values, wanted in zip(state[0].network, expected[0].network, strict=True):
        np.testing.assert_array_equal(values, wanted)
    assert [row["loss"] for row in progress.rows] == [row["loss"] for row in expected[1].rows]


@pytest.mark.slow
def test_a_run_leaves_weights_log_curves_and_its_recipe(
    tiny_recipe: tuple[Recipe, Places], tmp_path: Path
) -> None:
    recipe, places = tiny_recipe
    folder = RunFolder(tmp_path / "run")
    progress = fit(recipe, places, folder)
    network = build_network("attention_unet", "tiny", (64, 64))
    network.load_weights(folder.weights)
    lines = folder.log.read_text().splitlines()
    assert lines[0].startswith("epoch,")
    assert "validation_own" in lines[0]
    assert len(lines) == 1 + 3
    assert folder.curves.read_bytes().startswith(b"\x89PNG")
    assert folder.read_recipe() == recipe
    assert progress.best == max(row["validation_own"] for row in progress.rows[1:])
    assert keras.config.dtype_policy().name == "float32"


def test_a_finished_run_is_not_overwritten_unasked(tiny_recipe: tuple[Recipe, Places], tmp_path: Path) -> None:
    recipe, places = tiny_recipe
    (tmp_path / "checkpoint.npz").touch()
    with pytest.raises(InputError, match="resume it or name another"):
        fit(recipe, places, RunFolder(tmp_path))


def test_a_checkpoint_of_another_network_is_refused(tiny_recipe: tuple[Recipe, Places]) -> None:
    recipe, _ = tiny_recipe
    learner = build_learner(recipe, recipe.stages[0])
    with pytest.raises(InputError, match="another network"):
        restore_state(learner.model, State(network=[np.zeros(3)]))


def test_the_rate_warms_up_and_ends_at_zero(tiny_recipe: tuple[Recipe, Places]) -> None:
    recipe, _ = tiny_recipe
    recipe = replace(recipe, stages=(Stage(50, recipe.stages[0].frame, {"own": Share(slices=8)}),))
    model = build_learner(recipe, recipe.stages[0]).model
    rate = [float(model.optimizer._learning_rate(step)) for step in range(recipe.steps + 1)]
    assert rate[0] == 0
    assert max(rate) == pytest.approx(recipe.learning_rate, rel=1e-3)
    assert rate.index(max(rate)) == 5
    assert rate[-1] == pytest.approx(0, abs=1e-9)


def test_a_stage_with_a_rate_of_its_own_begins_with_a_new_optimizer(tiny_recipe: tuple[Recipe, Places]) -> None:
    recipe, _ = tiny_recipe
    tuning = Stage(4, recipe.stages[1].frame, {"own": Share(slices=8)}, fresh_rate=1e-3)
    recipe = replace(recipe, stages=(*recipe.stages, tuning))
    assert recipe.steps == 6
    trained, model = build_learner(recipe, recipe.stages[0]).model, build_learner(recipe, tuning).model
    trained.optimizer.iterations.assign(5)
    trained.get_layer("head").set_weights([values + 1 for values in trained.get_layer("head").get_weights()])
    restore_state(model, state_of(trained), network_alone=True)
    assert int(model.optimizer.iterations) == 0
    np.testing.assert_array_equal(model.get_layer("head").get_weights()[1], [1.0])
    assert float(model.optimizer._learning_rate(0)) == pytest.approx(1e-3)
    assert float(model.optimizer._learning_rate(8)) == pytest.approx(0, abs=1e-9)


@pytest.mark.slow
def test_four_slices_are_learnt_by_heart(tiny_recipe: tuple[Recipe, Places], tmp_path: Path) -> None:
    recipe, places = tiny_recipe
    by_heart = replace(
        recipe,
        sources=(replace(recipe.sources[0], validation_patients=(), validation=Share(slices=0)),),
        stages=(Stage(15, recipe.stages[0].frame, {"own": Share(slices=32)}),),
        augmentation=Augmentation(),
        learning_rate=2e-2,
        seed=2,
    )
    progress = fit(by_heart, places, RunFolder(tmp_path / "run"))
    assert progress.rows[-1]["dice_at_half"] > 0.9


@pytest.mark.slow
def test_half_precision_training_keeps_its_weights_in_float32(
    tiny_recipe: tuple[Recipe, Places], tmp_path: Path
) -> None:
    recipe, places = tiny_recipe
    short = replace(recipe, stages=recipe.stages[:1], precision=Precision.BFLOAT16)
    folder = RunFolder(tmp_path / "run")
    progress = fit(short, places, folder)
    assert np.isfinite(progress.rows[-1]["loss"])
    assert all(values.dtype != np.float16 for values in read_checkpoint(folder.checkpoint)[0].network)


def test_ones_own_images_are_seen_at_half_resolution_first() -> None:
    recipe = recipe_for_source(Source("own"), OwnChoices(epochs=9))
    assert [stage.epochs for stage in recipe.stages] == [3, 6]
    assert [stage.frame.scale for stage in recipe.stages] == [0.5, 1.0]
    assert not any(stage.frozen_encoder for stage in recipe.stages)


def test_a_trained_encoder_is_frozen_first_and_tuned_then_at_a_lower_rate() -> None:
    choices = OwnChoices("inception_v3_segmenter", "plain", epochs=9, encoder_weights="imagenet")
    recipe = recipe_for_source(Source("own"), choices)
    assert [stage.frozen_encoder for stage in recipe.stages] == [True, False]
    assert [stage.fresh_rate for stage in recipe.stages] == [1e-3, pytest.approx(1e-4)]
    assert (recipe.loss, recipe.optimizer) == (LossKind.CROSS_ENTROPY, OptimizerKind.ADAM)


def test_a_split_that_names_a_missing_case_is_refused(tiny_recipe: tuple[Recipe, Places]) -> None:
    recipe, places = tiny_recipe
    places.splits.mkdir()
    (places.splits / "own.json").write_text('{"train": ["case_00", "case_99"], "validation": []}')
    with pytest.raises(InputError, match="case_99"):
        cases_of(replace(recipe.sources[0], split="own"), places, "train")
