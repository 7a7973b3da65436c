"""Training by a recipe: resumable after every epoch, everything it makes in one folder (`RunFolder`)."""

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from metseg.errors import InputError, RequestError
from metseg_trainer.batches.dataset import Batch, Sampling, SliceDataset, unchanged_slices
from metseg_trainer.batches.hard_negatives import mine, read_mined, write_mined
from metseg_trainer.batches.sampling import Pool
from metseg_trainer.datasets.prepared_cases import PreparedCase
from metseg_trainer.implants import Implanter, collect_tumours
from metseg_trainer.networks.weights import weights_digest
from metseg_trainer.recipes.options import LossKind
from metseg_trainer.recipes.recipe import Recipe, Stage
from metseg_trainer.training.checkpoints import State, read_checkpoint, state_of, write_checkpoint
from metseg_trainer.training.curves import draw_curves, write_log
from metseg_trainer.training.devices import Hardware, computing_in, resolve_precision, sharing_scope
from metseg_trainer.training.learner import Learner, build_learner
from metseg_trainer.training.losses import dice_at_half
from metseg_trainer.training.progress import Progress, Row
from metseg_trainer.training.progress_bar import EpochBar, tell_epoch
from metseg_trainer.training.run_folder import RunFolder
from metseg_trainer.training.run_record import (
    RunRecord,
    Start,
    describe_data,
    describe_progress,
    describe_start,
    expect_same_run,
    read_record,
    write_record,
)
from metseg_trainer.training.tensorboard import write_events
from metseg_trainer.training.weight_average import WeightAverage
from metseg_trainer.training_data.checks import check_sources
from metseg_trainer.training_data.sources import Paths, load_pool

ANY_HARDWARE = Hardware()


def fit(
    recipe: Recipe,
    places: Paths,
    folder: RunFolder,
    *,
    resume: bool = False,
    hardware: Hardware = ANY_HARDWARE,
) -> Progress:
    """Train until the recipe's last epoch, or until its stages have stopped early.

    Args:
        recipe: All choices of the run.
        places: Where the data is.
        folder: The run's folder, made if missing.
        resume: Go on from `checkpoint.npz` where there is one; on the same machine the result equals that of an
            unbroken run bit for bit.
        hardware: What to compute on.

    Raises:
        InputError: The folder holds a run and `resume` is not set; the run was begun with another recipe or other
            images; or the images do not pass `check_sources`.
        RequestError: The devices cannot be used so, or the loss is no longer a number.
    """
    if folder.checkpoint.exists() and not resume:
        raise InputError(f"{folder.path} holds a run already; resume it or name another folder.")
    folder.path.mkdir(parents=True, exist_ok=True)
    state, progress = State(), Progress()
    if folder.checkpoint.exists():
        state, progress = read_checkpoint(folder.checkpoint)
    record = _begin_record(recipe, places, folder, describe_start(hardware, progress.epoch))
    keras.utils.set_random_seed(recipe.seed)
    with computing_in(record.precision):
        return _Trainer(record, places, folder, hardware).run(state, progress)


def _begin_record(recipe: Recipe, places: Paths, folder: RunFolder, start: Start) -> RunRecord:
    """Write the record of a new run, or add a start to that of a run that goes on."""
    data = describe_data(recipe, places)
    if folder.checkpoint.exists():
        before = read_record(folder.about)
        expect_same_run(before, recipe, data)
        record = replace(before, starts=(*before.starts, start))
    else:
        check_sources(recipe.sources, places, recipe.preprocessing)
        encoder = Path(recipe.encoder_weights or "")
        record = RunRecord(
            recipe,
            resolve_precision(recipe.precision),
            data,
            encoder_sha256=weights_digest(encoder) if encoder.is_file() else None,
            starts=(start,),
        )
    write_record(folder.about, record)
    return record


@dataclass(frozen=True, eq=False)
class _StageData:
    """What a stage learns from and is looked at with; validation by name of the source."""

    train: list[Pool]
    validation: dict[str, Batch]


class _Trainer:
    """One run: what passes from stage to stage and from epoch to epoch."""

    def __init__(self, record: RunRecord, places: Paths, folder: RunFolder, hardware: Hardware) -> None:
        self._record = record
        self._recipe = record.recipe
        self._places = places
        self._folder = folder
        self._hardware = hardware

    def run(self, state: State, progress: Progress) -> Progress:
        """Run the stages that are not over yet, from a state that is empty for a new run."""
        self._state, self._progress = state, progress
        self._average = WeightAverage(self._recipe.average, state.average)
        for number in range(len(self._recipe.stages)):
            if progress.epoch < self._recipe.epochs_through(number):
                self._run_stage(number)
        return progress

    def _run_stage(self, number: int) -> None:
        recipe, progress, until = self._recipe, self._progress, self._recipe.epochs_through(number)
        stage = recipe.stages[number]
        begins = progress.epoch == until - stage.epochs
        data = self._load(stage)
        learner = self._make_learner(number, begins)
        if stage.mines:
            data = replace(data, train=self._with_hard_negatives(number, learner, data.train))
        if begins:
            progress.begin_stage()
        done = progress.epoch - (until - stage.epochs)
        self._average.begin_stage(learner.network, done * recipe.steps_of(stage) // stage.epochs)
        while progress.epoch < until:
            started = time.perf_counter()
            row = self._train_epoch(learner, stage, data.train)
            if progress.epoch == recipe.epochs or progress.epoch % recipe.validate_every == 0:
                self._validate(learner, data.validation, row)
            progress.end = "all epochs are done"
            if recipe.patience is not None and progress.waited >= recipe.patience:
                progress.end = f"no better score in {progress.waited} validations, after epoch {progress.epoch}"
                progress.epoch = until
            row["seconds"] = round(time.perf_counter() - started, 1)
            self._keep(learner, row)

    def _load(self, stage: Stage) -> _StageData:
        recipe = self._recipe
        train = [
            load_pool(source, stage.shares[source.name], self._places, recipe.preprocessing, part="train")
            for source in recipe.sources
            if source.name in stage.shares
        ]
        implanter = Implanter(recipe.implants, collect_tumours(_pasted(train), np.random.default_rng(recipe.seed)))
        train = [replace(pool, implanter=implanter) if pool.share.implants else pool for pool in train]
        watched = [source for source in recipe.sources if source.validation.slices]
        kept = [
            load_pool(source, source.validation, self._places, recipe.preprocessing, part="validation")
            for source in watched
        ]
        names = [source.name for source in watched]
        return _StageData(train, dict(zip(names, unchanged_slices(kept, stage.frame), strict=True)))

    def _with_hard_negatives(self, number: int, learner: Learner, pools: list[Pool]) -> list[Pool]:
        """Add to the pools of a stage the hard negatives that were mined when it began, or mine them now."""
        recipe, path = self._recipe, self._folder.hard_negatives
        names = [source.name for source in recipe.sources if source.name in recipe.stages[number].shares]
        mined = read_mined(path, number)
        if mined is None:

            def find(slices: NDArray[np.uint8]) -> NDArray[np.float32]:
                return learner.probability(slices, recipe.batch)

            mined = mine(dict(zip(names, pools, strict=True)), find, recipe.stages[number].frame, recipe.seed)
            write_mined(path, number, mined)
        return [
            replace(pool, hard=np.array(mined[name], dtype=np.intp).reshape(-1, 2))
            for name, pool in zip(names, pools, strict=True)
        ]

    def _make_learner(self, number: int, begins: bool) -> Learner:
        recipe, stage = self._recipe, self._recipe.stages[number]
        scope = sharing_scope(self._hardware, recipe.batch)
        with scope or nullcontext():
            learner = build_learner(recipe, stage, share_statistics=scope is not None)
            if self._state.network:
                learner.take_over(
                    self._state,
                    recipe.steps_before(number) if begins else None,
                    network_alone=begins and stage.fresh_rate is not None,
                )
            else:
                learner.begin(recipe)
        return learner

    def _train_epoch(self, learner: Learner, stage: Stage, pools: list[Pool]) -> Row:
        recipe, progress = self._recipe, self._progress
        epoch = progress.epoch
        batches = SliceDataset(
            pools,
            Sampling(
                recipe.batch,
                stage.frame,
                recipe.augmentation,
                weighted=recipe.loss is LossKind.LESION_DICE_CROSS_ENTROPY,
            ),
            seed=recipe.seed,
            epoch=epoch,
        )
        bar = EpochBar(epoch + 1, recipe.epochs, len(batches))
        history = learner.model.fit(
            batches,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=0,
            callbacks=[bar, self._average],
        )
        progress.epoch = epoch + 1
        row = {"epoch": float(epoch + 1), **{name: values[-1] for name, values in history.history.items()}}
        if not math.isfinite(row["loss"]):
            raise RequestError(
                f"The loss of epoch {epoch + 1} is {row['loss']}: try a lower learning rate, or float32."
            )
        row["learning_rate"] = float(learner.model.optimizer.learning_rate)
        return row

    def _validate(self, learner: Learner, validation: dict[str, Batch], row: Row) -> None:
        scores = []
        with self._average.in_place(learner.network):
            for name, (slices, masks) in validation.items():
                found = learner.probability(slices, self._recipe.batch)
                scores.append(float(np.mean(keras.ops.convert_to_numpy(dice_at_half(masks, found)))))
                row[f"validation_{name}"] = scores[-1]
            if scores and self._progress.note_score(scores[0]):
                _save_weights(learner.network, self._folder.best)

    def _keep(self, learner: Learner, row: Row) -> None:
        """Write down all that an epoch has made; the checkpoint first, for all else follows from it."""
        progress, folder = self._progress, self._folder
        progress.rows.append(row)
        over = progress.epoch == self._recipe.epochs
        self._state = state_of(learner.model, self._average.values)
        write_checkpoint(folder.checkpoint, self._state, progress)
        write_log(folder.log, progress.rows)
        write_events(folder.events, row)
        draw_curves(folder.curves, progress.rows)
        if over:
            with self._average.in_place(learner.network):
                _save_weights(learner.network, folder.last)
        write_record(folder.about, replace(self._record, **describe_progress(progress, over=over)))
        tell_epoch(row, self._recipe.epochs)


def _pasted(pools: list[Pool]) -> list[PreparedCase]:
    """List the cases whose enhancing tumours may be pasted into others."""
    return [case for pool in pools for case in pool.cases if pool.share.pasted and case.lesion_class == 1]


def _save_weights(network: keras.Model, path: Path) -> None:
    """Write a network's weights; the file appears whole."""
    unfinished = path.with_name(f".{path.name}")
    network.save_weights(unfinished)
    unfinished.replace(path)
