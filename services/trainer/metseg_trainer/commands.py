"""What each command of `metseg-train` does; heavy imports happen in the command that needs them."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tqdm import tqdm

from metseg.card import CARD_PATH, ModelCard
from metseg.errors import InputError, RequestError
from metseg_trainer.datasets import find_cases
from metseg_trainer.recipes import RECIPES, PhantomSet, Recipe, recipe_for_folder
from metseg_trainer.run_folder import RunFolder
from metseg_trainer.sources import Places


def run(options: argparse.Namespace) -> None:
    """Carry out the command of the parsed options.

    Raises:
        MetsegError: Something the user can change; the message says what.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    commands: Mapping[str, Callable[[argparse.Namespace], None]] = {
        "phantom": _phantom,
        "fit": _fit,
        "evaluate": _evaluate,
        "export": _export,
    }
    commands[options.command](options)


def _phantom(options: argparse.Namespace) -> None:
    from metseg_trainer import phantom

    if options.samples is not None:
        phantom.write_samples(options.samples)
        _say(f"Sample scans are in {options.samples}.")
        return
    if options.preset not in phantom.PRESETS:
        raise RequestError(f"there is no preset {options.preset}; these exist: {', '.join(phantom.PRESETS)}")
    _write_phantoms(options.out, PhantomSet(options.count, options.seed, options.preset), options.workers)
    _say(f"{options.count} scans are in {options.out}.")


def _fit(options: argparse.Namespace) -> None:
    if options.cases is not None:
        patients = [case.patient for case in find_cases(options.cases)]
        recipe = recipe_for_folder(options.cases, patients, preset=options.preset, epochs=options.epochs)
    else:
        recipe = _recipe(options.recipe)
    places = _places(options, recipe, "train")
    from metseg_trainer.training import fit

    folder = RunFolder(options.run or Path("runs") / recipe.name)
    _say(f"{recipe.epochs} epochs, {recipe.steps} steps; curves in {folder.curves}")
    progress = fit(recipe, places, folder, resume=options.resume)
    _say(f"Done: best validation Dice {progress.best:.3f}; weights in {folder.weights}")


def _evaluate(options: argparse.Namespace) -> None:
    from metseg_trainer import measuring

    subject = measuring.exported(options.model) if options.model else measuring.trained(RunFolder(options.run))
    recipe = RECIPES["shipped"] if options.model else RunFolder(options.run).read_recipe()
    own = {} if options.cases is None else {options.cases.name: find_cases(options.cases)}
    point = subject.point
    if options.choose:
        point = measuring.choose(
            subject, own or measuring.kept_cases(recipe, _places(options, recipe, "validation"))
        )
        _say(f"Chosen: {point}")
    sets = own or measuring.kept_cases(recipe, _places(options, recipe, "test"))
    folder = RunFolder(options.run or Path())
    measuring.measure(subject, sets, point, options.out or folder.report, say=_say)


def _export(options: argparse.Namespace) -> None:
    from metseg_trainer import shipping

    shipped = options.shipped or options.models / "weights"
    if options.run is not None:
        folder = RunFolder(options.run)
        recipe = folder.read_recipe()
        places = _places(options, recipe, None)
        weights = [shipping.ship(folder, recipe, places, shipped, version=options.version)]
    elif options.weights is not None:
        weights = [options.weights]
    else:
        weights = sorted(shipped.glob(f"*{shipping.WEIGHTS_ENDING}"))
    if not weights:
        raise InputError(f"{shipped} holds no weights.")
    for path in weights:
        target, made = shipping.export_shipped(path, options.models, again=not options.all_shipped)
        _say(f"{target}: {'written' if made else 'there already'}, card {_digest(target)}")


def _digest(target: Path) -> str:
    return ModelCard.read(target / CARD_PATH).digest[:12]


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise RequestError(f"there is no recipe {name}; these exist: {', '.join(RECIPES)}")
    return RECIPES[name]


def _places(options: argparse.Namespace, recipe: Recipe, phantoms: str | None) -> Places:
    """Find the recipe's folders; write the named set of synthetic scans where it is missing."""
    wants_data = any(s.folder is not None and not Path(s.folder).is_absolute() for s in recipe.sources)
    if wants_data and options.data is None:
        raise RequestError("this recipe needs real images: name their folder by --data or METSEG_DATA")
    folder = options.phantoms / (phantoms or "train")
    if phantoms in recipe.phantoms:
        wanted = recipe.phantoms[phantoms]
        if len(list((folder / "masks").glob("*.nii.gz"))) < wanted.count:
            _write_phantoms(folder, wanted, os.cpu_count() or 1)
    return Places(options.data or Path(), folder, options.splits, options.cache)


def _write_phantoms(folder: Path, wanted: PhantomSet, workers: int) -> None:
    from metseg_trainer.phantom import write_scans

    with tqdm(total=wanted.count, desc=f"synthetic scans in {folder}", unit="scan") as bar:

        def count_scan(_path: Path) -> None:
            bar.update()

        write_scans(
            folder,
            count=wanted.count,
            seed=wanted.seed,
            preset=wanted.preset,
            workers=workers,
            on_scan=count_scan,
        )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
