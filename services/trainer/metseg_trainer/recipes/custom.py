"""Recipes for images of one's own: what the command line leaves open is settled here."""

from dataclasses import dataclass

from metseg_trainer.batches.shares import Share
from metseg_trainer.recipes.options import LossKind, OptimizerKind
from metseg_trainer.recipes.recipe import HALF_HEAD, HEAD, STRONG, Recipe, Source, Stage

LESION_FRACTION = 0.7
VALIDATION_SLICES = 64

_ADAM_RATE = 1e-3
_RATE = 2e-3
_TUNING = 0.1


@dataclass(frozen=True)
class OwnChoices:
    """What is chosen for one's own images.

    Attributes:
        network: As in the model card.
        preset: As in the model card.
        epochs: Of all stages together.
        epoch_slices: Slices of an epoch, seven of ten with lesion.
        classes: What `Labelling.channels` says of the masks.
        encoder_weights: As in the recipe; they are trained around first and tuned then.
        learning_rate: Highest one; None takes the optimizer's usual one.
    """

    network: str = "attention_unet"
    preset: str = "small"
    epochs: int = 60
    epoch_slices: int = 400
    classes: int = 1
    encoder_weights: str | None = None
    learning_rate: float | None = None


def recipe_for_source(source: Source, choices: OwnChoices) -> Recipe:
    """Make a recipe for one source.

    The first third of the epochs is run at half resolution. Where the encoder comes trained, they train the
    decoder alone instead, and the others tune the whole network at a tenth of the rate: transfer learning in two
    phases. The plain InceptionV3 segmenter learns by Adam and cross-entropy, all others by AdamW, Dice and
    cross-entropy.
    """
    plain = (choices.network, choices.preset) == ("inception_v3_segmenter", "plain")
    rate = choices.learning_rate or (_ADAM_RATE if plain else _RATE)
    return Recipe(
        name=source.name,
        network=choices.network,
        preset=choices.preset,
        sources=(source,),
        stages=_stages(source.name, choices, rate),
        augmentation=STRONG,
        classes=choices.classes,
        encoder_weights=choices.encoder_weights,
        loss=LossKind.CROSS_ENTROPY if plain else LossKind.DICE_CROSS_ENTROPY,
        optimizer=OptimizerKind.ADAM if plain else OptimizerKind.ADAMW,
        learning_rate=rate,
    )


def _stages(name: str, choices: OwnChoices, rate: float) -> tuple[Stage, ...]:
    shares = {name: Share(slices=choices.epoch_slices, lesion_fraction=LESION_FRACTION)}
    early = choices.epochs // 3
    late = choices.epochs - early
    if choices.encoder_weights is None:
        return Stage(early, HALF_HEAD, shares), Stage(late, HEAD, shares)
    return (
        Stage(early, HEAD, shares, fresh_rate=rate, frozen_encoder=True),
        Stage(late, HEAD, shares, fresh_rate=_TUNING * rate),
    )
