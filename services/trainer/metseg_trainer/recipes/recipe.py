"""How weights are made, as data: sources, stages and strengths."""

from dataclasses import dataclass, field
from itertools import pairwise

from metseg.errors import RequestError
from metseg.schemas.model_card import Preprocessing
from metseg_trainer.batches.augmentation import Augmentation, Frame
from metseg_trainer.batches.shares import Share
from metseg_trainer.datasets import Target
from metseg_trainer.implants.settings import ImplantSettings
from metseg_trainer.recipes.options import LossKind, OptimizerKind, Precision


@dataclass(frozen=True)
class Attribution:
    """Whose images they are, for the model card.

    Attributes:
        title: The data set's name.
        licence: Its licence's short name.
        attribution: Who made it and where it is.
    """

    title: str = "own images"
    licence: str = "not stated"
    attribution: str = "not stated"


@dataclass(frozen=True)
class Source:
    """One folder of images and masks.

    Attributes:
        name: What the stages call it.
        folder: Path below the data folder, or an absolute one; None is the folder of the synthetic scans.
        split: Name of the committed folds in `splits/`, without its ending, or an absolute path without it; None
            splits by patient.
        fold: With `split`, the fold that is kept for validation.
        plane: Plane of the single slices that are validated and evaluated; None takes all.
        validation_patients: Patients kept apart where there is no committed split.
        validation: What of the kept cases is looked at during training.
        terms: Whose images they are.
        layout: Name of the layout in `metseg_trainer.datasets`; None takes the one that is there.
        target: What of a mask counts as lesion; None takes the layout's usual target.
        disease: What the lesions are, several separated by commas; None leaves it to the layout.
        label_classes: (label of the case, class of its lesions) pairs, for the training of several classes; other
            lesions are of class 1.
        non_enhancing_class: Class of a single slice's tumour that takes up no contrast agent (`enhancement.FEW`);
            None makes no difference.
    """

    name: str
    folder: str | None = None
    split: str | None = None
    fold: int = 0
    plane: str | None = None
    validation_patients: tuple[str, ...] = ()
    validation: Share = Share(slices=0)
    terms: Attribution = Attribution()
    layout: str | None = None
    target: Target | None = None
    disease: str | None = None
    label_classes: tuple[tuple[str, int], ...] = ()
    non_enhancing_class: int | None = None


@dataclass(frozen=True)
class Stage:
    """A run of epochs at one resolution.

    Attributes:
        epochs: Number of epochs.
        frame: What training sees of a slice.
        shares: How much of each epoch comes from which source.
        fresh_rate: Begin with a new optimizer at this rate, taken to zero by the stage's own cosine; None goes on
            with the recipe's.
        frozen_encoder: Train the decoder alone; for networks whose encoder came trained.
        mines: Look for hard negatives when the stage begins, and show them more often.
    """

    epochs: int
    frame: Frame
    shares: dict[str, Share]
    fresh_rate: float | None = None
    frozen_encoder: bool = False
    mines: bool = False

    @property
    def slices(self) -> int:
        """Slices of one epoch."""
        return sum(share.slices for share in self.shares.values())


@dataclass(frozen=True)
class PhantomSet:
    """A set of synthetic scans; `metseg_trainer.phantom.write_scans` makes it from these alone."""

    count: int
    seed: int
    preset: str = "clinical"


@dataclass(frozen=True)
class Recipe:
    """All choices of one training run.

    Attributes:
        name: What the command line calls it.
        network: As in the model card.
        preset: As in the model card.
        sources: Where slices come from; the first one with validation slices chooses the best epoch.
        stages: In order.
        augmentation: How strongly slices are changed.
        implants: What is painted into slices, where a stage's share has any.
        phantoms: Synthetic sets by purpose: `train`, `validation` (the operating point is chosen there), `test`;
            `validation-…` and `test-…` are further sets for the same.
        preprocessing: As in the model card.
        classes: 1 for lesion against the rest; more for a softmax over the background and the target's classes.
        mirrored: Pool the answers for a slice and its mirror image, as in the model card.
        encoder_weights: Where a pre-trained encoder's weights come from: `imagenet` or a file; None is nowhere.
        batch: Slices a step.
        loss: What is minimised.
        optimizer: How it steps.
        learning_rate: Highest rate, reached after the warm-up; a cosine takes it to zero.
        warmup_fraction: Share of all steps.
        weight_decay: Of AdamW.
        cross_entropy_weight: Against the Dice loss.
        average: Of the running mean of the weights, what each step keeps of the mean before it; the mean is then
            validated and kept instead of the weights. 0 is no mean.
        precision: What layers compute in.
        seed: Of everything random.
        validate_every: Epochs between looks at the validation slices.
        patience: Looks without a better score after which a stage ends early; None runs all its epochs.

    Raises:
        RequestError: A value is out of its range, or a stage freezes or thaws the encoder without a `fresh_rate`.
    """

    name: str
    network: str
    preset: str
    sources: tuple[Source, ...]
    stages: tuple[Stage, ...]
    augmentation: Augmentation
    implants: ImplantSettings = field(default_factory=ImplantSettings)
    phantoms: dict[str, PhantomSet] = field(default_factory=dict)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    classes: int = 1
    mirrored: bool = False
    encoder_weights: str | None = None
    batch: int = 8
    loss: LossKind = LossKind.DICE_CROSS_ENTROPY
    optimizer: OptimizerKind = OptimizerKind.ADAMW
    learning_rate: float = 2e-3
    warmup_fraction: float = 0.05
    weight_decay: float = 1e-2
    cross_entropy_weight: float = 1.0
    average: float = 0.0
    precision: Precision = Precision.AUTO
    seed: int = 20_240_601
    validate_every: int = 2
    patience: int | None = None

    def __post_init__(self) -> None:
        if min(self.batch, self.classes, self.validate_every, 1 if self.patience is None else self.patience) < 1:
            raise RequestError("Batch, classes, validate_every and patience count from 1.")
        if not self.learning_rate > 0:
            raise RequestError(f"The learning rate must be above 0, got {self.learning_rate}.")
        if not 0 <= self.average < 1:
            raise RequestError(f"The mean of the weights keeps from 0 to below 1, got {self.average}.")
        for before, stage in pairwise(self.stages):
            if before.frozen_encoder != stage.frozen_encoder and stage.fresh_rate is None:
                raise RequestError("A stage that freezes or thaws the encoder needs a fresh_rate.")

    @property
    def epochs(self) -> int:
        """Epochs of all stages together."""
        return sum(stage.epochs for stage in self.stages)

    @property
    def steps(self) -> int:
        """Optimizer steps of the stages that share the recipe's cosine."""
        return sum(self.steps_of(stage) for stage in self.stages if stage.fresh_rate is None)

    def steps_of(self, stage: Stage) -> int:
        """Optimizer steps of one stage."""
        return stage.epochs * (stage.slices // self.batch)

    def steps_before(self, number: int) -> int:
        """Step of its cosine at which a stage begins: the recipe's cosine, or the stage's own."""
        if self.stages[number].fresh_rate is not None:
            return 0
        return sum(self.steps_of(stage) for stage in self.stages[:number] if stage.fresh_rate is None)

    def epochs_through(self, number: int) -> int:
        """Epochs of a stage and of all before it."""
        return sum(stage.epochs for stage in self.stages[: number + 1])


STRONG = Augmentation(
    rotation_degrees=25.0,
    shift_px=12.0,
    zoom=0.25,
    stretch=0.15,
    shear=0.1,
    flip_x=0.5,
    elastic_px=2.5,
    gamma=0.4,
    contrast=0.25,
    brightness=0.06,
    bias=0.4,
    blur_px=1.0,
    noise=0.05,
    chance=0.4,
)

HEAD = Frame(size=(192, 224))
"""A head at 1 mm with its ears at the edge; two thirds of the work of a whole slice."""

HALF_HEAD = Frame(size=(96, 112), scale=0.5)
