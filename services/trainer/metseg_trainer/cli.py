"""The command line: `metseg-train phantom | fit | evaluate | export`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from metseg.errors import MetsegError

_EPILOG = """\
the whole way, from nothing to a served model:
  metseg-train phantom --out runs/phantoms/train --count 72 --seed 1000
  metseg-train fit --recipe shipped --data ../shared/data
  metseg-train evaluate --run runs/shipped --data ../shared/data --choose
  metseg-train export --run runs/shipped --data ../shared/data --models models

Each command explains itself: metseg-train fit --help"""

_PHANTOM = """\
Write synthetic T1c-like heads with lesions of known place, shape, volume and diameter: images/, masks/ (one label
a lesion), truth/ (JSON) and the notice of the anatomy's authors. Equal seeds write equal voxels."""

_PHANTOM_EXAMPLES = """\
examples:
  metseg-train phantom --out heads --count 5
  metseg-train phantom --out runs/phantoms/test --count 24 --seed 9100 --workers 2
  metseg-train phantom --samples samples"""

_FIT = """\
Train a network. Every epoch is kept: what was stopped goes on with --resume as if nothing had happened. The run's
folder receives the best and the last weights, log.csv, curves.png and run.json with all choices.

Either name a recipe, which knows its data sets, its split and its synthetic scans (written first where they are
missing), or a folder of your own:

  folder/images/<case>.<ending>  and  folder/masks/<case>.<ending>     pictures or NIfTI
  folder/<case>_t1c.nii.gz       and  folder/<case>_mask.nii.gz

Values of a mask above 0 are lesion. A manifest.csv with the columns path, patient_id and label tells which cases
belong to one patient; every fifth patient is kept for validation."""

_FIT_EXAMPLES = """\
examples:
  metseg-train fit --recipe shipped --data ../shared/data
  metseg-train fit --recipe shipped --data ../shared/data --resume
  metseg-train fit --cases my-slices --epochs 60 --run runs/mine
  KERAS_BACKEND=jax metseg-train fit --cases my-slices      (where jax is installed)"""

_EVALUATE = """\
Measure a model through the very path that serves it, and write a report: mean Dice over cases (by class where a
manifest names classes), and for volumes the share of lesions of 8 mm and more that are found and the false lesions
a scan, all with 95 % intervals. A lesion is found when a predicted one touches it.

The model is an exported one (--model) or a training run (--run). The cases are those that the run's recipe keeps
apart, with its synthetic test scans, or a folder of your own (--cases), of which all are used."""

_EVALUATE_EXAMPLES = """\
examples:
  metseg-train evaluate --model models/attention_unet/1 --data ../shared/data
  metseg-train evaluate --run runs/shipped --data ../shared/data --choose
  metseg-train evaluate --model models/attention_unet/1 --cases my-slices --out my-report.json"""

_EXPORT = """\
Write what TF Serving hosts: a frozen SavedModel with batch norm folded in, its card and warm-up requests, compared
with the Keras network on the way. From a training run, the weights are first rounded to half precision and kept
with their card in the weights folder, which is what the project ships; from shipped weights the export is made
again."""

_EXPORT_EXAMPLES = """\
examples:
  metseg-train export --run runs/shipped --data ../shared/data --models models
  metseg-train export --weights models/weights/attention_unet-1.weights.h5 --models models
  metseg-train export --all-shipped --models models        (skips what is there already)"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all went well, 2 for a mistake that the message names."""
    options = build_parser().parse_args(arguments)
    from metseg_trainer import commands  # keeps --help quick

    try:
        commands.run(options)
    except MetsegError as exc:
        sys.stderr.write(f"metseg-train: {exc}\n")
        return 2
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="metseg-train",
        description="Make synthetic scans, train networks on images and masks, measure them and export them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_phantom(
        _add(commands, "phantom", "write synthetic scans with known lesions", _PHANTOM, _PHANTOM_EXAMPLES)
    )
    _add_fit(_add(commands, "fit", "train a network", _FIT, _FIT_EXAMPLES))
    _add_evaluate(_add(commands, "evaluate", "measure a model", _EVALUATE, _EVALUATE_EXAMPLES))
    _add_export(_add(commands, "export", "write what TF Serving hosts", _EXPORT, _EXPORT_EXAMPLES))
    return parser


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, *texts: str
) -> argparse.ArgumentParser:
    short, long, examples = texts
    return commands.add_parser(
        name,
        help=short,
        description=long,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_phantom(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, metavar="DIR", help="folder to write a set of scans into")
    where.add_argument(
        "--samples", type=Path, metavar="DIR", help="folder to write the project's sample scans into"
    )
    parser.add_argument("--count", type=int, default=10, help="number of scans (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="names the set (%(default)s)")
    parser.add_argument(
        "--preset", default="clinical", help="how scans vary: clinical, isotropic, small (%(default)s)"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")


def _add_fit(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--recipe", help="a recipe of metseg_trainer.recipes: shipped")
    what.add_argument("--cases", type=Path, metavar="DIR", help="a folder of images and masks of your own")
    parser.add_argument(
        "--preset", default="small", help="size of the network, with --cases: small, paper (%(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=60, help="with --cases (%(default)s)")
    parser.add_argument("--run", type=Path, metavar="DIR", help="folder of the run (runs/<recipe>)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    _add_places(parser)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", type=Path, metavar="DIR", help="an exported model, models/<name>/<version>")
    what.add_argument("--run", type=Path, metavar="DIR", help="a training run")
    parser.add_argument("--cases", type=Path, metavar="DIR", help="images and masks of your own, all of them used")
    parser.add_argument(
        "--choose",
        action="store_true",
        help="with --run: choose threshold and smallest lesion on the validation cases first",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the report (report.json in the run, or here)")
    _add_places(parser)


def _add_export(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", type=Path, metavar="DIR", help="a training run with its report")
    what.add_argument("--weights", type=Path, metavar="FILE", help="shipped weights; their card lies beside them")
    what.add_argument("--all-shipped", action="store_true", help="every weights file of the weights folder")
    parser.add_argument("--models", type=Path, default=Path("models"), help="where models go (%(default)s)")
    parser.add_argument(
        "--shipped", type=Path, metavar="DIR", help="the weights folder (weights in the models folder)"
    )
    parser.add_argument("--version", type=int, default=1, help="with --run: the model's version (%(default)s)")
    _add_places(parser)


def _add_places(parser: argparse.ArgumentParser) -> None:
    data = os.environ.get("METSEG_DATA")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(data) if data else None,
        metavar="DIR",
        help="folder of the recipe's real images (METSEG_DATA)",
    )
    parser.add_argument(
        "--phantoms", type=Path, default=Path("runs/phantoms"), metavar="DIR", help="synthetic sets (%(default)s)"
    )
    parser.add_argument(
        "--splits", type=Path, default=Path("splits"), metavar="DIR", help="committed splits (%(default)s)"
    )
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/cache"), metavar="DIR", help="prepared slices (%(default)s)"
    )
