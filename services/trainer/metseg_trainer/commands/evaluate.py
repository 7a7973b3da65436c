"""Measuring a model."""

import argparse
from pathlib import Path

from metseg_trainer.commands.places import add_places, find_places
from metseg_trainer.commands.speaking import say
from metseg_trainer.datasets import find_cases
from metseg_trainer.recipes import RECIPES
from metseg_trainer.run_folder import RunFolder

SHORT = "measure a model"

DESCRIPTION = """\
Measure a model through the very path that serves it, and write a report: mean Dice over cases (by class where a
manifest names classes), and for volumes the share of lesions of 8 mm and more that are found and the false lesions
a scan, all with 95 % intervals. A lesion is found when a predicted one touches it.

The model is an exported one (--model) or a training run (--run). The cases are those that the run's recipe keeps
apart, with its synthetic test scans, or a folder of your own (--cases), of which all are used."""

EXAMPLES = """\
examples:
  metseg-train evaluate --model models/attention_unet/1 --data ../shared/data
  metseg-train evaluate --run runs/shipped --data ../shared/data --choose
  metseg-train evaluate --model models/attention_unet/1 --cases my-slices --out my-report.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
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
    add_places(parser)


def run(options: argparse.Namespace) -> None:
    """Carry it out."""
    from metseg_trainer import measuring

    subject = measuring.exported(options.model) if options.model else measuring.trained(RunFolder(options.run))
    recipe = RECIPES["shipped"] if options.model else RunFolder(options.run).read_recipe()
    own = {} if options.cases is None else {options.cases.name: find_cases(options.cases)}
    point = subject.point
    if options.choose:
        point = measuring.choose(
            subject, own or measuring.kept_cases(recipe, find_places(options, recipe, "validation"))
        )
        say(f"Chosen: {point}")
    sets = own or measuring.kept_cases(recipe, find_places(options, recipe, "test"))
    folder = RunFolder(options.run or Path())
    measuring.measure(subject, sets, point, options.out or folder.report, say=say)
