"""Teaching the InceptionV3 encoder on pictures that have a class but no mask."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from metseg_trainer.commands.output import say
from metseg_trainer.keras_start import load_keras
from metseg_trainer.recipes.options import Precision

SHORT = "teach the InceptionV3 encoder on classes of slices"

DESCRIPTION = """\
Train the InceptionV3 encoder as a classifier of whole slices, which need a class but no mask, so that the
segmenter begins with what they taught:

  folder/train/<class>/<picture>  and  folder/val/<class>/<picture>     PNG, JPEG or TIFF

Pictures are prepared and changed as the segmenter's slices are. The encoder of the epoch with the best accuracy on
val/ is kept in encoder.weights.h5, all choices and figures in pretrain.json. A picture that stands in both parts
stops the run; slices of one patient should, too, but only you know whose they are."""

EXAMPLES = """\
examples:
  metseg-train pretrain --pictures my-classes --epochs 30 --run runs/pretrain
  metseg-train pretrain --pictures my-classes --encoder-weights imagenet --learning-rate 1e-4
  metseg-train fit --cases my-slices --network inception_v3_segmenter \\
      --encoder-weights runs/pretrain/encoder.weights.h5"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--pictures", type=Path, required=True, metavar="DIR", help="folder of train/ and val/")
    parser.add_argument("--run", type=Path, default=Path("runs/pretrain"), metavar="DIR", help="(%(default)s)")
    parser.add_argument("--size", type=int, default=256, metavar="N", help="pixels a side (%(default)s)")
    parser.add_argument("--epochs", type=int, default=30, metavar="N", help="(%(default)s)")
    parser.add_argument("--batch", type=int, default=16, metavar="N", help="pictures of a step (%(default)s)")
    parser.add_argument(
        "--learning-rate", type=float, default=1e-3, metavar="RATE", help="of the first step (%(default)s)"
    )
    parser.add_argument(
        "--encoder-weights",
        metavar="imagenet|FILE",
        help="where to begin: imagenet is fetched, a FILE comes from here or from keras.applications (nowhere)",
    )
    parser.add_argument(
        "--precision", type=Precision, choices=tuple(Precision), default=Precision.AUTO, help="(%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=20_240_601, metavar="N", help="of everything random")


def run(options: argparse.Namespace) -> None:
    """Carry it out."""
    load_keras()
    from metseg_trainer.datasets.class_folders import find_class_folders
    from metseg_trainer.training.pretraining import WEIGHTS, Pretraining, pretrain

    folders = find_class_folders(options.pictures)
    choices = Pretraining(
        size=options.size,
        epochs=options.epochs,
        batch=options.batch,
        learning_rate=options.learning_rate,
        encoder_weights=options.encoder_weights,
        precision=options.precision,
        seed=options.seed,
    )
    say(f"{len(folders.train)} pictures to learn, {len(folders.validation)} to judge by; {choices.epochs} epochs")
    best = pretrain(folders, choices, options.run)
    say(f"Best accuracy {best.accuracy:.3f}, in epoch {best.epoch}; of each class, what it was taken for:")
    for line in describe_confusion(folders.classes, best.confusion):
        say(line)
    say(f"Encoder in {options.run / WEIGHTS}")


def describe_confusion(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[str]:
    """Write one line a class: how often it was recognised, and what its pictures were taken for."""
    return [
        f"  {name}: {row[label] / sum(row):.3f} of {sum(row)}; "
        + ", ".join(f"{other} {count}" for other, count in zip(classes, row, strict=True))
        for label, (name, row) in enumerate(zip(classes, confusion, strict=True))
    ]
