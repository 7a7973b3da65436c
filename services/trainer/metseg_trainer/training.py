"""Training by a recipe: resumable after every epoch, everything it makes in one folder (`RunFolder`)."""

import sys
import time
from typing import Any

import keras
import numpy as np

from metseg.errors import InputError
from metseg_trainer.checkpoints import Progress, Row, read_checkpoint, restore_state, state_of, write_checkpoint
from metseg_trainer.curves import draw_curves, write_log
from metseg_trainer.losses import DiceCrossEntropy, dice_at_half
from metseg_trainer.networks.presets import build_network
from metseg_trainer.pipeline import Batch, Pool, SliceDataset, unchanged_slices
from metseg_trainer.recipes import Recipe, Stage
from metseg_trainer.run_folder import RunFolder
from metseg_trainer.sources import Places, load_pool


def fit(recipe: Recipe, places: Places, folder: RunFolder, *, resume: bool = False) -> Progress:
    """Train until the recipe's last epoch.

    Args:
        recipe: All choices of the run.
        places: Where the data is.
        folder: The run's folder, made if missing.
        resume: Go on from `checkpoint.npz` where there is one; the result equals that of an unbroken run.

    Raises:
        InputError: The folder holds a run and `resume` is not set, or its checkpoint belongs to another network.
    """
    if folder.checkpoint.exists() and not resume:
        raise InputError(f"{folder.path} holds a run already; resume it or name another folder.")
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_about(recipe, ended=None)
    keras.utils.set_random_seed(recipe.seed)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if recipe.mixed_precision else "float32")
    try:
        progress = _run_stages(recipe, places, folder)
    finally:
        keras.config.set_dtype_policy(policy)
    folder.write_about(recipe, ended=progress)
    return progress


def _run_stages(recipe: Recipe, places: Places, folder: RunFolder) -> Progress:
    trainer = _Trainer(recipe, places, folder)
    first = 0
    for stage in recipe.stages:
        if trainer.progress.epoch < first + stage.epochs:
            trainer.run(stage, until=first + stage.epochs)
        first += stage.epochs
    return trainer.progress


class _Trainer:
    """One run: the network of the current stage and what passes from epoch to epoch."""

    def __init__(self, recipe: Recipe, places: Places, folder: RunFolder) -> None:
        self._recipe = recipe
        self._places = places
        self._folder = folder
        self._state: list[np.ndarray[Any, Any]] = []
        self.progress = Progress()
        if folder.checkpoint.exists():
            self._state, self.progress = read_checkpoint(folder.checkpoint)

    def run(self, stage: Stage, *, until: int) -> None:
        """Train the epochs of one stage that are not done yet."""
        recipe = self._recipe
        train = [
            load_pool(source, stage.shares[source.name], self._places, recipe.preprocessing, part="train")
            for source in recipe.sources
            if source.name in stage.shares
        ]
        kept = [
            load_pool(source, source.validation, self._places, recipe.preprocessing, part="validation")
            for source in recipe.sources
            if source.validation.slices
        ]
        validation = unchanged_slices(kept, stage.frame)
        model = compile_network(recipe, stage)
        begins = self.progress.epoch == until - stage.epochs
        if self._state:
            restore_state(model, self._state, network_alone=begins and stage.fresh_rate is not None)
        if begins:
            self.progress.best = -1.0  # scores at another resolution tell nothing here
        while self.progress.epoch < until:
            self._run_epoch(model, stage, train, validation)

    def _run_epoch(self, model: keras.Model, stage: Stage, train: list[Pool], validation: list[Batch]) -> None:
        recipe, epoch, started = self._recipe, self.progress.epoch, time.perf_counter()
        batches = SliceDataset(
            train,
            batch=recipe.batch,
            frame=stage.frame,
            strength=recipe.augmentation,
            seed=recipe.seed,
            epoch=epoch,
        )
        history = model.fit(
            batches, initial_epoch=epoch, epochs=epoch + 1, shuffle=False, verbose=1 if sys.stdout.isatty() else 2
        )
        row = {"epoch": float(epoch + 1), **{name: values[-1] for name, values in history.history.items()}}
        row["learning_rate"] = float(model.optimizer.learning_rate)
        self.progress.epoch = epoch + 1
        last = epoch + 1 == recipe.epochs
        if last or (epoch + 1) % recipe.validate_every == 0:
            self._validate(model, validation, row)
        row["seconds"] = round(time.perf_counter() - started, 1)
        self.progress.rows.append(row)
        self._state = state_of(model)
        write_checkpoint(self._folder.checkpoint, self._state, self.progress)
        write_log(self._folder.log, self.progress.rows)
        draw_curves(self._folder.curves, self.progress.rows)
        if last:
            model.save_weights(self._folder.last)

    def _validate(self, model: keras.Model, validation: list[Batch], row: Row) -> None:
        names = [source.name for source in self._recipe.sources if source.validation.slices]
        for name, (slices, masks) in zip(names, validation, strict=True):
            found = model.predict(slices, batch_size=self._recipe.batch, verbose=0)
            row[f"validation_{name}"] = float(np.mean(keras.ops.convert_to_numpy(dice_at_half(masks, found))))
        if not names:
            return
        score = row[f"validation_{names[0]}"]
        if score > self.progress.best:
            self.progress.best = score
            model.save_weights(self._folder.best)


def compile_network(recipe: Recipe, stage: Stage) -> keras.Model:
    """Build the network for a stage's frame, with AdamW and the learning rate that the stage follows.

    That is one warm-up and cosine over all stages, or the stage's own cosine (`Stage.fresh_rate`).

    Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2; the cosine falls to zero.
    """
    model = build_network(recipe.network, recipe.preset, stage.frame.size)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            _learning_rate(recipe, stage), weight_decay=recipe.weight_decay, clipnorm=1.0
        ),
        loss=DiceCrossEntropy(recipe.cross_entropy_weight),
        metrics=[dice_at_half],
    )
    model.optimizer.build(model.trainable_variables)
    return model


def _learning_rate(recipe: Recipe, stage: Stage) -> keras.optimizers.schedules.LearningRateSchedule:
    if stage.fresh_rate is not None:
        return keras.optimizers.schedules.CosineDecay(stage.fresh_rate, recipe.steps_of(stage))
    warmup = max(round(recipe.warmup_fraction * recipe.steps), 1)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(recipe.steps - warmup, 1), warmup_target=recipe.learning_rate, warmup_steps=warmup
    )
