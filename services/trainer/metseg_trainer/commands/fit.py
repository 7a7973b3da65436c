"""Training a network."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from metseg.errors import RequestError
from metseg_trainer.batches.shares import Share
from metseg_trainer.commands.output import say
from metseg_trainer.commands.paths import add_places, find_places
from metseg_trainer.datasets import LAYOUTS, Target, choose_layout, find_cases
from metseg_trainer.datasets.splits import PATIENT_SEED, draw_patients
from metseg_trainer.keras_start import load_keras
from metseg_trainer.recipes.custom import LESION_FRACTION, VALIDATION_SLICES, OwnChoices, recipe_for_source
from metseg_trainer.recipes.options import LossKind, Precision
from metseg_trainer.recipes.recipe import Attribution, Recipe, Source
from metseg_trainer.recipes.shipped import RECIPES
from metseg_trainer.training.run_folder import RunFolder

SHORT = "train a network"

DESCRIPTION = """\
Train a network. Every epoch is kept: what was stopped, be it by kill -9, goes on with --resume, and on the same
machine ends with the same bits as if nothing had happened. The run's folder receives the best and the last
weights, log.csv, curves.png, files for TensorBoard, and run.json with everything that made the run.

Either name a recipe, which knows its data sets, its split and its synthetic scans (written first where they are
missing), or a folder of your own (--cases). Its layout is found out: images/ and masks/ with pictures or NIfTI,
<case>_t1c.nii.gz beside <case>_mask.nii.gz, or a public data set as it unpacks. All cases of a patient train, or
all are kept for validation; an image that stands on both sides stops the run.

Training runs under TensorFlow, or under JAX or PyTorch where KERAS_BACKEND names one that is installed; the
weights are the same file. Under TensorFlow all GPUs share each batch."""

EXAMPLES = """\
examples:
  metseg-train fit --recipe shipped --data ../shared/data
  metseg-train fit --resume --run runs/shipped --data ../shared/data
  metseg-train fit --cases my-slices --epochs 60 --run runs/mine
  metseg-train fit --cases BraTS-METS --target tumour_core --network unet_plus_plus --loss focal_tversky
  metseg-train fit --cases my-slices --network inception_v3_segmenter --encoder-weights imagenet
  KERAS_BACKEND=jax metseg-train fit --cases my-slices      (where jax is installed)"""

NETWORKS = ("attention_unet", "unet_plus_plus", "inception_v3_segmenter")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--recipe", metavar="NAME", help=f"one of: {', '.join(RECIPES)}")
    what.add_argument("--cases", type=Path, metavar="DIR", help="a folder of images and masks of your own")
    parser.add_argument("--run", type=Path, metavar="DIR", help="folder of the run (runs/<recipe>)")
    parser.add_argument(
        "--resume", action="store_true", help="go on with a run that was stopped; --run alone is enough"
    )
    _add_own(parser.add_argument_group("with --cases"))
    _add_changes(parser.add_argument_group("with --cases, or to change a recipe"))
    _add_machine(parser.add_argument_group("the machine"))
    add_places(parser)


def run(options: argparse.Namespace) -> None:
    """Carry it out."""
    recipe = _recipe(options)
    folder = RunFolder(options.run or Path("runs") / recipe.name)
    places = find_places(options, recipe, "train")
    load_keras()
    from metseg_trainer.training.devices import Hardware
    from metseg_trainer.training.fit import fit

    say(f"{recipe.network}/{recipe.preset}: {recipe.epochs} epochs; curves in {folder.curves}")
    hardware = Hardware(options.devices, options.deterministic)
    progress = fit(recipe, places, folder, resume=options.resume, hardware=hardware)
    score = f"best validation Dice {progress.best:.3f} in epoch {progress.best_epoch}; " * bool(
        progress.best_epoch
    )
    say(f"Done, {progress.end}: {score}weights in {folder.weights}")


def _add_own(group: "argparse._ArgumentGroup") -> None:
    usual = OwnChoices()
    group.add_argument("--layout", choices=tuple(LAYOUTS), help="how the files lie (found out)")
    group.add_argument(
        "--target", type=Target, choices=tuple(Target), help="what of a mask counts as lesion (the layout's usual)"
    )
    group.add_argument(
        "--validation-share", type=float, default=0.2, metavar="SHARE", help="of the patients (%(default)s)"
    )
    group.add_argument("--split", type=Path, metavar="FILE", help="folds of your own, as in splits/, instead")
    group.add_argument("--fold", type=int, default=0, help="with --split, the fold that is kept (%(default)s)")
    group.add_argument("--network", choices=NETWORKS, default=usual.network, help="(%(default)s)")
    group.add_argument(
        "--preset",
        help="size of the network: small, paper; of the InceptionV3 segmenter: skips, plain (the first)",
    )
    group.add_argument("--epochs", type=int, default=usual.epochs, help="(%(default)s)")
    group.add_argument(
        "--epoch-slices", type=int, default=usual.epoch_slices, metavar="N", help="of an epoch (%(default)s)"
    )
    group.add_argument(
        "--encoder-weights",
        metavar="imagenet|FILE|none",
        default="none",
        help="what the InceptionV3 encoder knows: imagenet is fetched, a FILE comes from `pretrain` or from "
        "keras.applications; the encoder is frozen for a third of the epochs and tuned then (%(default)s)",
    )


def _add_changes(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--loss", type=LossKind, choices=tuple(LossKind), help="what is minimised")
    group.add_argument("--learning-rate", type=float, metavar="RATE", help="highest rate of the schedule")
    group.add_argument("--batch", type=int, metavar="N", help="slices of a step")
    group.add_argument(
        "--patience", type=int, metavar="N", help="end a stage after N validations without a better score"
    )
    group.add_argument(
        "--average", type=float, metavar="KEEP", help="validate and keep a running mean of the weights, as 0.8"
    )
    group.add_argument(
        "--mirrored",
        action="store_true",
        default=None,
        help="judge and serve the pooled answers for a slice and its mirror image, at twice the cost",
    )
    group.add_argument("--seed", type=int, metavar="N", help="of everything random, the kept patients too")


def _add_machine(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--precision",
        type=Precision,
        choices=tuple(Precision),
        help="auto: float16 on a GPU, bfloat16 where the processor has it, else float32 (auto)",
    )
    group.add_argument(
        "--devices", type=int, metavar="N", help="devices that share each batch (all GPUs, or the processor)"
    )
    group.add_argument(
        "--deterministic", action="store_true", help="equal seeds give equal bits on a GPU, too, but slower"
    )


def _recipe(options: argparse.Namespace) -> Recipe:
    if options.cases is not None:
        recipe = _own_recipe(options)
    elif options.recipe is not None:
        recipe = _named_recipe(options.recipe)
    elif options.resume and options.run is not None:
        recipe = RunFolder(options.run).read_recipe()
    else:
        raise RequestError("name what to train on by --recipe or --cases, or what to go on with by --resume --run")
    wanted: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("loss", "learning_rate", "batch", "patience", "average", "mirrored", "seed", "precision")
    }
    return replace(recipe, **{name: value for name, value in wanted.items() if value is not None})


def _named_recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise RequestError(f"there is no recipe {name}; these exist: {', '.join(RECIPES)}")
    return RECIPES[name]


def _own_recipe(options: argparse.Namespace) -> Recipe:
    layout = choose_layout(options.cases, options.layout)
    cases = find_cases(options.cases, layout=layout.name, target=options.target)
    seed = PATIENT_SEED if options.seed is None else options.seed
    kept = () if options.split else draw_patients(cases, options.validation_share, seed)
    watched = VALIDATION_SLICES if options.split or kept else 0
    source = Source(
        "own",
        str(options.cases.resolve()),
        split=str(options.split.resolve().with_suffix("")) if options.split else None,
        fold=options.fold,
        validation_patients=kept,
        validation=Share(slices=watched, lesion_fraction=LESION_FRACTION),
        terms=Attribution(title=layout.title),
        layout=layout.name,
        target=options.target,
    )
    choices = OwnChoices(
        network=options.network,
        preset=options.preset or ("skips" if options.network == "inception_v3_segmenter" else "small"),
        epochs=options.epochs,
        epoch_slices=options.epoch_slices,
        classes=cases[0].labelling.channels,
        encoder_weights=_encoder_weights(options.encoder_weights),
        learning_rate=options.learning_rate,
    )
    return recipe_for_source(source, choices)


def _encoder_weights(named: str) -> str | None:
    if named in ("none", "imagenet"):
        return None if named == "none" else named
    return str(Path(named).resolve())
