"""The names of the recipes."""

import argparse

from metseg_trainer.commands.output import say
from metseg_trainer.recipes.shipped import RECIPES

SHORT = "list the recipes of the weights that ship"

DESCRIPTION = """\
List the recipes by which the weights that ship are made, one name a line. `fit --recipe NAME` trains one
of them in runs/NAME."""

EXAMPLES = """\
examples:
  metseg-train recipes"""


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare no option."""


def run(_options: argparse.Namespace) -> None:
    """Carry it out."""
    for name in RECIPES:
        say(name)
