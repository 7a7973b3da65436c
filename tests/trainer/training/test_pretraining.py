import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from metseg.errors import InputError, RequestError
from metseg.imaging.picture import write_picture
from metseg_trainer.batches.augmentation import Augmentation
from metseg_trainer.commands.pretrain import describe_confusion
from metseg_trainer.datasets.class_folders import find_class_folders, read_pictures
from metseg_trainer.networks.encoder_weights import encoder_of
from metseg_trainer.recipes.options import Precision
from metseg_trainer.training import pretraining
from metseg_trainer.training.pretraining import (
    ClassFindings,
    PictureDataset,
    Pretraining,
    build_classifier,
    pretrain,
)

SIDE = 16
CLASSES = ("dark", "light", "other")
CHOICES = Pretraining(
    size=SIDE,
    epochs=8,
    batch=4,
    learning_rate=0.05,
    dropout=0.0,
    augmentation=Augmentation(rotation_degrees=10, noise=0.02),
    precision=Precision.FLOAT32,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Discs of three sizes, one a class."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(*[np.arange(SIDE) - SIDE / 2] * 2, indexing="ij")
    for part, count in (("train", 4), ("val", 2)):
        for radius, name in zip((2, 4, 7), CLASSES, strict=True):
            (tmp_path / "classes" / part / name).mkdir(parents=True)
            for number in range(count):
                image = 200 * (x**2 + y**2 < radius**2) + rng.integers(0, 30, x.shape)
                write_picture(tmp_path / "classes" / part / name / f"{number}.png", image.astype(np.uint8))
    return tmp_path / "classes"


@pytest.fixture
def small_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder of one layer in InceptionV3's place."""

    def build(size: tuple[int, int]) -> keras.Model:
        pixels = keras.Input((*size, 3))
        seen = keras.layers.Conv2D(4, 3, strides=2, activation="relu")(pixels)
        return keras.Model(pixels, [seen, keras.layers.MaxPooling2D()(seen)], name="encoder")

    monkeypatch.setattr(pretraining, "build_encoder", build)


@pytest.mark.slow
def test_classes_are_learnt_and_the_best_encoder_is_kept(
    folder: Path, small_encoder: None, tmp_path: Path
) -> None:
    best = pretrain(find_class_folders(folder), CHOICES, tmp_path / "run")
    assert best.accuracy > 0.6
    assert np.sum(best.confusion) == 6
    assert np.trace(best.confusion) / 6 == pytest.approx(best.accuracy)
    record = json.loads((tmp_path / "run" / "pretrain.json").read_text())
    assert record["pictures"]["train"] == dict.fromkeys(CLASSES, 4)
    assert record["choices"]["seed"] == CHOICES.seed
    assert [row["epoch"] for row in record["epochs"]] == list(range(1, 9))
    assert best.accuracy == max(row["validation_accuracy"] for row in record["epochs"])
    assert record["epochs"][best.epoch - 1]["validation_accuracy"] == best.accuracy
    encoder = encoder_of(build_classifier(3, CHOICES))
    encoder.load_weights(tmp_path / "run" / "encoder.weights.h5")


@pytest.mark.slow
def test_an_epoch_that_is_worse_does_not_replace_a_better_one(
    folder: Path, small_encoder: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = iter([0.2, 0.9, 0.5])
    monkeypatch.setattr(pretraining, "_judge", lambda *_: ClassFindings(2, next(accuracies)))
    kept = []
    monkeypatch.setattr(keras.Model, "save_weights", lambda self, path: kept.append(path.write_bytes(b"")))
    best = pretrain(find_class_folders(folder), replace(CHOICES, epochs=3), tmp_path / "run")
    assert best.accuracy == 0.9
    assert len(kept) == 2


def test_a_classifier_looks_at_the_encoders_last_map_alone() -> None:
    classifier = build_classifier(3, Pretraining(size=64))
    encoder = encoder_of(classifier)
    assert encoder.count_params() == 21_802_784
    assert classifier.count_params() == 21_802_784 + 2048 * 3 + 3
    assert classifier.output_shape == (None, 3)


def test_a_batch_holds_changed_pictures_and_one_hot_classes(folder: Path) -> None:
    found = find_class_folders(folder)
    pictures = read_pictures(found.train, SIDE)
    labels = np.array([item.label for item in found.train])
    dataset = PictureDataset(pictures, labels, CHOICES, epoch=0)
    batches = [dataset[i] for i in range(len(dataset))]
    assert [len(slices) for slices, _ in batches] == [4, 4, 4]
    slices, classes = batches[0]
    assert (slices.shape, slices.dtype) == ((4, SIDE, SIDE, 3), np.uint8)
    np.testing.assert_array_equal(np.concatenate([one for _, one in batches]).sum(0), [4, 4, 4])
    np.testing.assert_array_equal(classes.sum(1), 1)


def test_an_epoch_can_be_made_again_and_differs_from_the_next(folder: Path) -> None:
    found = find_class_folders(folder)
    pictures, labels = read_pictures(found.train, SIDE), np.array([item.label for item in found.train])
    first, again, other = (PictureDataset(pictures, labels, CHOICES, epoch)[1][0] for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_missing_validation_folder_is_named(folder: Path) -> None:
    (folder / "val").rename(folder / "validation")
    with pytest.raises(InputError, match=r"val is missing; expected classes/train/<class>"):
        find_class_folders(folder)


def test_classes_that_differ_are_named(folder: Path) -> None:
    (folder / "val" / "light").rename(folder / "val" / "lite")
    with pytest.raises(InputError, match=r"one of them alone has light"):
        find_class_folders(folder)


def test_an_empty_class_is_named(folder: Path) -> None:
    for path in (folder / "val" / "light").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"val/light holds no picture"):
        find_class_folders(folder)


def test_one_class_alone_is_nothing_to_learn(tmp_path: Path) -> None:
    for part in ("train", "val"):
        (tmp_path / part / "only").mkdir(parents=True)
    with pytest.raises(InputError, match="needs two classes"):
        find_class_folders(tmp_path)


def test_an_unreadable_picture_is_named(folder: Path) -> None:
    (folder / "train" / "dark" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(InputError, match=r"dark/1\.png: expected a whole PNG"):
        read_pictures(find_class_folders(folder).train, SIDE)


def test_a_picture_on_both_sides_stops_the_run(folder: Path, tmp_path: Path) -> None:
    (folder / "val" / "dark" / "1.png").write_bytes((folder / "train" / "dark" / "3.png").read_bytes())
    with pytest.raises(InputError, match=r"val/dark/1\.png shows the same as .*train/dark/3\.png"):
        pretrain(find_class_folders(folder), CHOICES, tmp_path / "run")


def test_no_epochs_are_refused() -> None:
    with pytest.raises(RequestError, match="expected epochs"):
        Pretraining(epochs=0)


def test_the_confusion_is_told_by_class() -> None:
    lines = describe_confusion(("a", "b"), ((3, 1), (0, 2)))
    assert lines == ["  a: 0.750 of 4; a 3, b 1", "  b: 1.000 of 2; a 0, b 2"]
