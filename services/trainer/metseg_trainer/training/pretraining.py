"""The InceptionV3 encoder taught on pictures that have a class but no mask.

Hospitals have labels of whole slices in plenty. A classifier over the encoder (global average pooling, dropout,
softmax) learns them; what its encoder then knows is where `metseg-train fit --encoder-weights` begins.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from metseg.errors import RequestError
from metseg_trainer.batches.augmentation import Augmentation, Frame, change_intensity, sample, sampling_map
from metseg_trainer.datasets.class_folders import ClassFolders, check_parts, read_pictures
from metseg_trainer.networks.blocks import CHANNELS
from metseg_trainer.networks.encoder_weights import encoder_of, load_encoder_weights
from metseg_trainer.networks.inception_encoder import build_encoder, encoder_sides
from metseg_trainer.networks.weights import weights_digest
from metseg_trainer.recipes.options import Precision
from metseg_trainer.recipes.recipe import STRONG
from metseg_trainer.software_versions import software_versions
from metseg_trainer.training.devices import computing_in, resolve_precision
from metseg_trainer.training.progress_bar import EpochBar

WEIGHTS = "encoder.weights.h5"
RECORD = "pretrain.json"

logger = logging.getLogger(__name__)

Pictures = NDArray[np.uint8]
"""(n, size, size)."""


@dataclass(frozen=True)
class Pretraining:
    """All choices of one pre-training.

    Attributes:
        size: Sides of the pictures, in pixels.
        encoder_size: Pixels to which 256 pixels are resized before the encoder, as in the segmenter.
        epochs: Number of passes over the training pictures.
        batch: Pictures a step.
        learning_rate: Of AdamW at the beginning; a cosine takes it to zero.
        dropout: Share of the pooled channels that training drops.
        encoder_weights: Where to begin: `imagenet` or a file; None is nowhere.
        augmentation: How strongly pictures are changed.
        precision: What layers compute in.
        seed: Of everything random.
    """

    size: int = 256
    encoder_size: int = 299
    epochs: int = 30
    batch: int = 16
    learning_rate: float = 1e-3
    dropout: float = 0.3
    encoder_weights: str | None = None
    augmentation: Augmentation = STRONG
    precision: Precision = Precision.AUTO
    seed: int = 20_240_601

    def __post_init__(self) -> None:
        """Check the choices."""
        if min(self.epochs, self.batch, self.size) < 1 or self.learning_rate <= 0 or not 0 <= self.dropout < 1:
            raise RequestError(
                "expected epochs, batch and size of 1 or more, a learning rate above 0 and a dropout in [0, 1), "
                f"got {self.epochs}, {self.batch}, {self.size}, {self.learning_rate:g} and {self.dropout:g}"
            )


@dataclass(frozen=True)
class ClassFindings:
    """How well a classifier knows the validation pictures.

    Attributes:
        epoch: After which it was seen, from 1; 0 is before the first.
        accuracy: Share of pictures whose class is right.
        confusion: Pictures of the class of the row that were taken for that of the column.
    """

    epoch: int = 0
    accuracy: float = -1.0
    confusion: tuple[tuple[int, ...], ...] = ()


class PictureDataset(keras.utils.PyDataset):
    """One epoch of training batches: slices uint8 (n, size, size, 3) and one-hot classes float32 (n, classes)."""

    def __init__(self, pictures: Pictures, labels: NDArray[np.intp], choices: Pretraining, epoch: int) -> None:
        super().__init__()
        self._pictures = pictures
        self._classes = np.eye(labels.max() + 1, dtype=np.float32)[labels]
        self._choices = choices
        self._epoch = epoch
        self._order = np.random.default_rng((choices.seed, epoch)).permutation(len(pictures))

    def __len__(self) -> int:
        """Return the number of batches; the last one may be smaller."""
        return -(-len(self._order) // self._choices.batch)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return one batch."""
        places = range(len(self._order))[index * self._choices.batch : (index + 1) * self._choices.batch]
        return np.stack([self._changed(i) for i in places]), self._classes[self._order[list(places)]]

    def _changed(self, i: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng((self._choices.seed, self._epoch, i))
        picture, strength = _stack(self._pictures[self._order[i]]), self._choices.augmentation
        side = picture.shape[0]
        centre = ((side - 1) / 2, (side - 1) / 2)
        positions = sampling_map(rng, strength, Frame((side, side)), centre)
        return change_intensity(rng, sample(picture, positions, nearest=False), strength)


def build_classifier(classes: int, choices: Pretraining) -> keras.Model:
    """Build the classifier, from `slices` uint8 (n, size, size, 3) to float32 (n, classes) that sum to one."""
    # 1. Layers
    size = (choices.size, choices.size)
    sides = encoder_sides(size, choices.encoder_size)
    rescale = keras.layers.Rescaling(1.0 / 127.5, offset=-1.0, name="rescale")
    resize = keras.layers.Resizing(*sides, name="resize")
    pool = keras.layers.GlobalAveragePooling2D(name="pool")
    drop = keras.layers.Dropout(choices.dropout, seed=choices.seed, name="dropout")
    head = keras.layers.Dense(classes, activation="softmax", dtype="float32", name="probability")

    # 2. Functional graph
    slices = keras.Input((*size, CHANNELS), dtype="uint8", name="slices")
    maps = build_encoder(sides)(resize(rescale(slices)))
    return keras.Model(slices, head(drop(pool(maps[-1]))), name="classifier")


def pretrain(folders: ClassFolders, choices: Pretraining, out: Path) -> ClassFindings:
    """Train a classifier and keep the encoder of its best epoch.

    Args:
        folders: What to learn.
        choices: How.
        out: Folder that receives `encoder.weights.h5` and `pretrain.json`, made if missing.

    Returns:
        What the kept encoder's classifier found.

    Raises:
        InputError: A picture cannot be read, or stands in both parts.
    """
    train, validation = (read_pictures(part, choices.size) for part in (folders.train, folders.validation))
    check_parts(folders, train, validation)
    out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(choices.seed)
    with computing_in(resolve_precision(choices.precision)):
        classifier = build_classifier(len(folders.classes), choices)
    if choices.encoder_weights is not None:
        load_encoder_weights(classifier, choices.encoder_weights)
    best = ClassFindings()
    rows = []
    for found, row in _epochs(classifier, folders, (train, validation), choices):
        rows.append(row)
        if found.accuracy > best.accuracy:
            best = found
            encoder_of(classifier).save_weights(out / WEIGHTS)
    _write_record(out, folders, choices, best, rows)
    return best


def _epochs(
    classifier: keras.Model, folders: ClassFolders, pictures: tuple[Pictures, Pictures], choices: Pretraining
) -> Iterator[tuple[ClassFindings, dict[str, float]]]:
    """Train epoch by epoch; yield what each one found, and its line in the log."""
    labels, truth = (np.array([item.label for item in part]) for part in (folders.train, folders.validation))
    steps = -(-len(labels) // choices.batch) * choices.epochs
    rate = keras.optimizers.schedules.CosineDecay(choices.learning_rate, steps)
    classifier.compile(
        optimizer=keras.optimizers.AdamW(rate, clipnorm=1.0), loss="categorical_crossentropy", metrics=["accuracy"]
    )
    for epoch in range(choices.epochs):
        batches = PictureDataset(pictures[0], labels, choices, epoch)
        bar = EpochBar(epoch + 1, choices.epochs, len(batches))
        history = classifier.fit(
            batches, initial_epoch=epoch, epochs=epoch + 1, shuffle=False, verbose=0, callbacks=[bar]
        )
        found = _judge(classifier, pictures[1], truth, epoch + 1)
        row = {name: float(values[-1]) for name, values in history.history.items()}
        row = {"epoch": epoch + 1, **row, "validation_accuracy": found.accuracy}
        logger.info("epoch %d/%d: loss %.3f, validation accuracy %.3f", *_line(row, choices))
        yield found, row


def _line(row: dict[str, float], choices: Pretraining) -> tuple[float, int, float, float]:
    return row["epoch"], choices.epochs, row["loss"], row["validation_accuracy"]


def _judge(classifier: keras.Model, pictures: Pictures, truth: NDArray[np.intp], epoch: int) -> ClassFindings:
    found = classifier.predict(_stack(pictures), batch_size=16, verbose=0).argmax(axis=-1)
    confusion = np.zeros((classifier.output_shape[-1],) * 2, int)
    np.add.at(confusion, (truth, found), 1)
    return ClassFindings(epoch, float((found == truth).mean()), tuple(map(tuple, confusion.tolist())))


def _stack(pictures: Pictures) -> NDArray[np.uint8]:
    """Let a lone slice stand in for its neighbours, in a last axis."""
    return np.repeat(pictures[..., None], CHANNELS, axis=-1)


def _write_record(
    out: Path, folders: ClassFolders, choices: Pretraining, best: ClassFindings, rows: Sequence[dict[str, float]]
) -> None:
    parts: dict[str, Any] = {"train": folders.train, "validation": folders.validation}
    counts = {
        name: {one: sum(item.label == label for item in part) for label, one in enumerate(folders.classes)}
        for name, part in parts.items()
    }
    record = {
        "choices": asdict(choices),
        "pictures": counts,
        "best": asdict(best),
        "epochs": list(rows),
        "encoder_sha256": weights_digest(out / WEIGHTS),
        "software": software_versions(),
    }
    (out / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
