"""A network made ready to learn: with its loss, its optimizer and the learning rate that a stage follows."""

from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from metseg_trainer.networks.encoder_weights import freeze_encoder, load_encoder_weights
from metseg_trainer.networks.presets import build_network, supervised
from metseg_trainer.recipes.options import LossKind, OptimizerKind
from metseg_trainer.recipes.recipe import Recipe, Stage
from metseg_trainer.training.checkpoints import State, restore_state
from metseg_trainer.training.losses import (
    CrossEntropy,
    DeepSupervision,
    DiceCrossEntropy,
    FocalTversky,
    LesionDiceCrossEntropy,
    dice_at_half,
    lesion_probability,
)

_CLIP_NORM = 1.0


@dataclass(frozen=True, eq=False)
class Learner:
    """A network in its two forms, over the same layers.

    Attributes:
        network: As it is served.
        model: As it is trained, compiled; its output may hold several heads.
    """

    network: keras.Model
    model: keras.Model

    def probability(self, slices: NDArray[np.uint8], batch: int) -> NDArray[np.float32]:
        """Return the served network's probability of lesion, (n, w, h, 1), for n ≥ 1 slices (n, w, h, 3).

        The last batch is filled up: of a smaller one a device may get nothing, and convolutions of that may fail.
        """
        full = np.pad(slices, [(0, -len(slices) % batch), (0, 0), (0, 0), (0, 0)])
        found = self.network.predict(full, batch_size=batch, verbose=0)[: len(slices)]
        return np.asarray(keras.ops.convert_to_numpy(lesion_probability(found)), dtype=np.float32)

    def begin(self, recipe: Recipe) -> None:
        """Begin a run, with what the encoder has learnt elsewhere."""
        if recipe.encoder_weights is not None:
            load_encoder_weights(self.network, recipe.encoder_weights)

    def take_over(self, state: State, begins_at: int | None, *, network_alone: bool) -> None:
        """Go on from an earlier state.

        Args:
            state: Of a learner of the same recipe.
            begins_at: Step of the schedule at which a stage begins; None goes on where the state was.
            network_alone: Keep the own, fresh optimizer.
        """
        restore_state(self.model, state, network_alone=network_alone)
        if begins_at is not None:
            _inner(self.model.optimizer).iterations.assign(begins_at)


def build_learner(recipe: Recipe, stage: Stage, *, share_statistics: bool = False) -> Learner:
    """Build the network for a stage's frame, ready to learn.

    The learning rate is one warm-up and cosine over all stages, or the stage's own cosine (`Stage.fresh_rate`).

    Args:
        recipe: Names network, loss and optimizer.
        stage: One of the recipe's.
        share_statistics: Let batch norm see the whole batch where several devices share it.
    """
    network = build_network(recipe.network, recipe.preset, stage.frame.size, classes=recipe.classes)
    for layer in _layers(network) if share_statistics else ():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    if stage.frozen_encoder:
        freeze_encoder(network, True)
    model, weights = supervised(network, recipe.classes)
    loss = make_loss(recipe)
    watched = keras.metrics.MeanMetricWrapper(dice_at_half, name=dice_at_half.__name__, heads=len(weights))
    model.compile(
        optimizer=_make_optimizer(recipe, stage),
        loss=loss if len(weights) == 1 else DeepSupervision(loss, weights),
        metrics=[watched],
        jit_compile=_compiled_by_xla(several_devices=share_statistics),
    )
    model.optimizer.build(model.trainable_variables)
    return Learner(network, model)


def _compiled_by_xla(*, several_devices: bool) -> bool | str:
    """Choose XLA for TensorFlow on one device that computes in float32.

    Keras chooses it by itself on GPUs only; on a CPU a step of the Attention U-Net then takes 0.6 to 1.1 of the
    time. In bfloat16 oneDNN takes 0.7 of XLA's time, and XLA refuses the gradient of a bilinear resize.
    """
    if several_devices or keras.backend.backend() != "tensorflow":
        return "auto"
    return True if keras.config.dtype_policy().compute_dtype == "float32" else "auto"


def make_loss(recipe: Recipe) -> keras.losses.Loss:
    """Make the loss that a recipe names."""
    if recipe.loss is LossKind.CROSS_ENTROPY:
        return CrossEntropy()
    if recipe.loss is LossKind.FOCAL_TVERSKY:
        return FocalTversky()
    if recipe.loss is LossKind.LESION_DICE_CROSS_ENTROPY:
        return LesionDiceCrossEntropy(recipe.cross_entropy_weight)
    return DiceCrossEntropy(recipe.cross_entropy_weight)


def _make_optimizer(recipe: Recipe, stage: Stage) -> keras.optimizers.Optimizer:
    rate = _learning_rate(recipe, stage)
    if recipe.optimizer is OptimizerKind.ADAM:
        return keras.optimizers.Adam(rate, clipnorm=_CLIP_NORM)
    return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, clipnorm=_CLIP_NORM)


def _learning_rate(recipe: Recipe, stage: Stage) -> keras.optimizers.schedules.LearningRateSchedule:
    """Make the schedule; Loshchilov & Hutter, "SGDR", ICLR 2017, equation 5, without restarts."""
    if stage.fresh_rate is not None:
        return keras.optimizers.schedules.CosineDecay(stage.fresh_rate, max(recipe.steps_of(stage), 1))
    warmup = max(round(recipe.warmup_fraction * recipe.steps), 1)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(recipe.steps - warmup, 1), warmup_target=recipe.learning_rate, warmup_steps=warmup
    )


def _inner(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Unwrap the loss scaling of float16."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer
