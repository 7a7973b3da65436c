"""What the commands that judge models open: models, runs and the cases to judge them on."""

import argparse
from pathlib import Path

from metseg.errors import InputError, RequestError
from metseg_trainer.commands.output import say
from metseg_trainer.commands.paths import find_places
from metseg_trainer.datasets import Case, find_cases
from metseg_trainer.evaluation.evaluate import Subject, exported, kept_cases, trained
from metseg_trainer.evaluation.model_card import describe_training_data
from metseg_trainer.recipes.recipe import Recipe
from metseg_trainer.recipes.shipped import RECIPES
from metseg_trainer.training.run_folder import RunFolder


def open_exported(folder: Path, options: argparse.Namespace) -> tuple[Subject, Recipe]:
    """Open an exported model, with the recipe whose cases it is judged on where none are named."""
    subject = exported(folder, options.cache)
    known = [recipe for recipe in RECIPES.values() if recipe.network == subject.card.network]
    return subject, known[0] if known else RECIPES["shipped"]


def open_run(path: Path, options: argparse.Namespace) -> tuple[Subject, Recipe]:
    """Open a training run with its recipe; where its images are not here, its card does not describe them."""
    folder = RunFolder(path)
    recipe = folder.read_recipe()
    try:
        training_data = describe_training_data(recipe, find_places(options, recipe, None))
    except (InputError, RequestError) as exc:
        say(f"The training data is not described: {exc}")
        training_data = []
    return trained(folder, training_data, options.cache), recipe


def cases_to_judge(options: argparse.Namespace, recipe: Recipe, phantoms: str) -> dict[str, list[Case]]:
    """List the user's own cases, or those that the recipe keeps apart with its synthetic scans for this purpose.

    Args:
        options: Of the command.
        recipe: Its synthetic sets named `<phantoms>-…`, such as `test-hard`, come as sets of their own.
        phantoms: The purpose, `validation` or `test`.
    """
    if options.cases is not None:
        return {options.cases.resolve().name: find_cases(options.cases)}
    sets = kept_cases(recipe, find_places(options, recipe, phantoms))
    for name in (one for one in recipe.phantoms if one.startswith(f"{phantoms}-")):
        sets[f"phantom {name}"] = find_cases(find_places(options, recipe, name).phantoms)
    return sets
