"""Training a network."""

import argparse
from pathlib import Path

from metseg.errors import RequestError
from metseg_trainer.commands.places import add_places, find_places
from metseg_trainer.commands.speaking import say
from metseg_trainer.datasets import find_cases
from metseg_trainer.recipes import RECIPES, Recipe, recipe_for_folder
from metseg_trainer.run_folder import RunFolder

SHORT = "train a network"

DESCRIPTION = """\
Train a network. Every epoch is kept: what was stopped goes on with --resume as if nothing had happened. The run's
folder receives the best and the last weights, log.csv, curves.png and run.json with all choices.

Either name a recipe, which knows its data sets, its split and its synthetic scans (written first where they are
missing), or a folder of your own:

  folder/images/<case>.<ending>  and  folder/masks/<case>.<ending>     pictures or NIfTI
  folder/<case>_t1c.nii.gz       and  folder/<case>_mask.nii.gz

Values of a mask above 0 are lesion. A manifest.csv with the columns path, patient_id and label tells which cases
belong to one patient; every fifth patient is kept for validation."""

EXAMPLES = """\
examples:
  metseg-train fit --recipe shipped --data ../shared/data
  metseg-train fit --recipe shipped --data ../shared/data --resume
  metseg-train fit --cases my-slices --epochs 60 --run runs/mine
  KERAS_BACKEND=jax metseg-train fit --cases my-slices      (where jax is installed)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--recipe", help="a recipe of metseg_trainer.recipes: shipped")
    what.add_argument("--cases", type=Path, metavar="DIR", help="a folder of images and masks of your own")
    parser.add_argument(
        "--preset", default="small", help="size of the network, with --cases: small, paper (%(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=60, help="with --cases (%(default)s)")
    parser.add_argument("--run", type=Path, metavar="DIR", help="folder of the run (runs/<recipe>)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    add_places(parser)


def run(options: argparse.Namespace) -> None:
    """Carry it out."""
    if options.cases is not None:
        patients = [case.patient for case in find_cases(options.cases)]
        recipe = recipe_for_folder(options.cases, patients, preset=options.preset, epochs=options.epochs)
    else:
        recipe = _recipe(options.recipe)
    places = find_places(options, recipe, "train")
    from metseg_trainer.training import fit

    folder = RunFolder(options.run or Path("runs") / recipe.name)
    say(f"{recipe.epochs} epochs, {recipe.steps} steps; curves in {folder.curves}")
    progress = fit(recipe, places, folder, resume=options.resume)
    say(f"Done: best validation Dice {progress.best:.3f}; weights in {folder.weights}")


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise RequestError(f"there is no recipe {name}; these exist: {', '.join(RECIPES)}")
    return RECIPES[name]
