from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from metseg.errors import InputError, RequestError
from metseg_trainer.batches.augmentation import Augmentation
from metseg_trainer.networks.presets import build_network
from metseg_trainer.recipes.custom import OwnChoices, recipe_for_source
from metseg_trainer.recipes.options import LossKind, OptimizerKind, Precision
from metseg_trainer.recipes.recipe import Recipe, Share, Source, Stage
from metseg_trainer.training import fit as training
from metseg_trainer.training.checkpoints import State, read_checkpoint, restore_state, state_of
from metseg_trainer.training.devices import computing_in
from metseg_trainer.training.fit import fit
from metseg_trainer.training.learner import build_learner
from metseg_trainer.training.progress import Progress
from metseg_trainer.training.run_folder import RunFolder
from metseg_trainer.training.run_record import RunRecord, describe_data, expect_same_run, read_record, write_record
from metseg_trainer.training.tensorboard import write_events
from metseg_trainer.training_data.sources import Paths, cases_of


@pytest.mark.slow
def test_a_run_leaves_all_it_made_and_a_stage_that_gets_no_better_ends_early(
    tiny_recipe: tuple[Recipe, Paths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, places = tiny_recipe
    early, late = recipe.stages
    recipe = replace(recipe, stages=(replace(early, epochs=5), replace(late, epochs=1)), patience=1)
    monkeypatch.setattr(training, "dice_at_half", lambda truth, found: np.array([0.5]))
    folder = RunFolder(tmp_path / "run")
    progress = fit(recipe, places, folder)
    assert [row["epoch"] for row in progress.rows] == [1, 2, 6]
    assert read_checkpoint(folder.checkpoint)[0].optimizer[0] == recipe.steps  # its place in the schedule
    record = read_record(folder.about)
    assert (record.recipe, record.end, record.best_epoch) == (recipe, "all epochs are done", 6)
    assert len(record.epoch_seconds) == 3
    network = build_network("attention_unet", "tiny", (64, 64))
    for weights in (folder.best, folder.last):
        network.load_weights(weights)
    lines = folder.log.read_text().splitlines()
    assert lines[0].startswith("epoch,")
    assert "validation_own" in lines[0]
    assert len(lines) == 1 + 3
    assert folder.curves.read_bytes().startswith(b"\x89PNG")
    assert list(folder.events.iterdir())
    assert keras.config.dtype_policy().name == "float32"


def test_a_new_best_score_ends_the_wait() -> None:
    progress = Progress(epoch=3)
    assert [progress.note_score(score) for score in (0.4, 0.4, 0.3)] == [True, False, False]
    assert (progress.best, progress.best_epoch, progress.waited) == (0.4, 3, 2)
    assert progress.note_score(0.5)
    assert progress.waited == 0


def test_a_run_goes_on_with_nothing_but_its_own_recipe_and_images(
    tiny_recipe: tuple[Recipe, Paths], tmp_path: Path
) -> None:
    recipe, places = tiny_recipe
    before = RunRecord(recipe, data=describe_data(recipe, places))
    write_record(tmp_path / "run.json", before)
    before = read_record(tmp_path / "run.json")
    expect_same_run(before, recipe, describe_data(recipe, places))
    with pytest.raises(InputError, match="it differs in: batch, seed"):
        expect_same_run(before, replace(recipe, batch=2, seed=5), before.data)
    image = next((places.data / "own" / "images").iterdir())
    image.write_bytes(image.read_bytes() + b" ")
    with pytest.raises(InputError, match="images of own"):
        expect_same_run(before, recipe, describe_data(recipe, places))


def test_a_frozen_encoder_leaves_the_decoder_alone_to_learn(tiny_recipe: tuple[Recipe, Paths]) -> None:
    stage = replace(tiny_recipe[0].stages[0], frozen_encoder=True, fresh_rate=1e-3)
    recipe = replace(tiny_recipe[0], network="inception_v3_segmenter", preset="plain", stages=(stage,))
    learner = build_learner(recipe, stage)
    learning = {id(variable) for variable in learner.model.trainable_variables}
    encoder = {id(variable) for variable in learner.network.get_layer("encoder").variables}
    assert learning
    assert not learning & encoder


def test_half_precision_keeps_its_weights_in_float32(tiny_recipe: tuple[Recipe, Paths]) -> None:
    with computing_in(Precision.BFLOAT16):
        learner = build_learner(tiny_recipe[0], tiny_recipe[0].stages[0])
    assert learner.network.get_layer("head").compute_dtype == "bfloat16"
    assert {values.dtype for values in state_of(learner.model).network} <= {
        np.dtype("float32"),
        np.dtype("uint32"),
    }


def test_float16_scales_its_loss_and_takes_its_place_in_the_schedule(tiny_recipe: tuple[Recipe, Paths]) -> None:
    recipe = tiny_recipe[0]
    with computing_in(Precision.FLOAT16):
        learner = build_learner(recipe, recipe.stages[0])
    assert isinstance(learner.model.optimizer, keras.optimizers.LossScaleOptimizer)
    learner.take_over(state_of(learner.model), 1, network_alone=False)
    assert float(learner.model.optimizer.learning_rate) == pytest.approx(recipe.learning_rate)


def test_a_stage_that_thaws_the_encoder_needs_a_rate_of_its_own(tiny_recipe: tuple[Recipe, Paths]) -> None:
    frozen = replace(tiny_recipe[0].stages[0], frozen_encoder=True)
    with pytest.raises(RequestError, match="needs a fresh_rate"):
        replace(tiny_recipe[0], stages=(frozen, tiny_recipe[0].stages[1]))


@pytest.mark.parametrize("change", [{"batch": 0}, {"average": 1.0}, {"learning_rate": 0.0}, {"patience": 0}])
def test_a_recipe_out_of_range_is_refused(tiny_recipe: tuple[Recipe, Paths], change: dict[str, float]) -> None:
    with pytest.raises(RequestError):
        replace(tiny_recipe[0], **change)


def test_the_events_are_what_tensorboard_reads(tmp_path: Path) -> None:
    write_events(tmp_path / "events", {"epoch": 3.0, "loss": 0.25})
    (path,) = (tmp_path / "events").iterdir()
    events = [
        (event.step, value.tag, float(tf.make_ndarray(value.tensor)), value.metadata.plugin_data.plugin_name)
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    ]
    assert events == [(3, "loss", 0.25, "scalars")]


def test_a_finished_run_is_not_overwritten_unasked(tiny_recipe: tuple[Recipe, Paths], tmp_path: Path) -> None:
    recipe, places = tiny_recipe
    (tmp_path / "checkpoint.npz").touch()
    with pytest.raises(InputError, match="resume it or name another"):
        fit(recipe, places, RunFolder(tmp_path))


def test_a_checkpoint_of_another_network_is_refused(tiny_recipe: tuple[Recipe, Paths]) -> None:
    recipe, _ = tiny_recipe
    learner = build_learner(recipe, recipe.stages[0])
    with pytest.raises(InputError, match="another network"):
        restore_state(learner.model, State(network=[np.zeros(3)]))


def test_the_rate_warms_up_and_ends_at_zero(tiny_recipe: tuple[Recipe, Paths]) -> None:
    recipe, _ = tiny_recipe
    recipe = replace(recipe, stages=(Stage(50, recipe.stages[0].frame, {"own": Share(slices=8)}),))
    model = build_learner(recipe, recipe.stages[0]).model
    rate = [float(model.optimizer._learning_rate(step)) for step in range(recipe.steps + 1)]
    assert rate[0] == 0
    assert max(rate) == pytest.approx(recipe.learning_rate, rel=1e-3)
    assert rate.index(max(rate)) == 5
    assert rate[-1] == pytest.approx(0, abs=1e-9)


def test_a_stage_with_a_rate_of_its_own_begins_with_a_new_optimizer(tiny_recipe: tuple[Recipe, Paths]) -> None:
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
def test_four_slices_are_learnt_by_heart_by_all_heads_together(
    tiny_recipe: tuple[Recipe, Paths], tmp_path: Path
) -> None:
    recipe, places = tiny_recipe
    by_heart = replace(
        recipe,
        network="unet_plus_plus",
        sources=(replace(recipe.sources[0], validation_patients=(), validation=Share(slices=0)),),
        stages=(Stage(5, recipe.stages[0].frame, {"own": Share(slices=32)}),),
        augmentation=Augmentation(),
        learning_rate=2e-2,
        seed=2,
    )
    progress = fit(by_heart, places, RunFolder(tmp_path / "run"))
    assert progress.rows[-1]["dice_at_half"] > 0.9


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


def test_a_split_that_names_a_missing_case_is_refused(tiny_recipe: tuple[Recipe, Paths]) -> None:
    recipe, places = tiny_recipe
    places.splits.mkdir()
    (places.splits / "own.json").write_text('{"folds": [["case_00"], ["case_99"]]}')
    with pytest.raises(InputError, match="case_99"):
        cases_of(replace(recipe.sources[0], split="own"), places, "train")
