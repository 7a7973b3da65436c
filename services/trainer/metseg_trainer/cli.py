"""The command line `metseg-train`; what each command does stands in `metseg_trainer.commands`."""

import argparse
import logging
import sys
from collections.abc import Sequence

from metseg.errors import MetsegError
from metseg_trainer.commands import compare, data, evaluate, export, fit, phantom, pretrain, recipes, sheet

COMMANDS = {
    "phantom": phantom,
    "data": data,
    "sheet": sheet,
    "pretrain": pretrain,
    "recipes": recipes,
    "fit": fit,
    "evaluate": evaluate,
    "compare": compare,
    "export": export,
}

_EPILOG = """\
the whole way, from nothing to a served model:
  metseg-train phantom --out runs/phantoms/train --count 72 --seed 1000
  metseg-train fit --recipe shipped --data ../shared/data
  metseg-train evaluate --run runs/shipped --data ../shared/data --choose
  metseg-train export --run runs/shipped --data ../shared/data --models models

Each command explains itself: metseg-train fit --help"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all went well, 2 for a mistake that the message names."""
    options = build_parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        COMMANDS[options.command].run(options)
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
    parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.add_arguments(
            parsers.add_parser(
                name,
                help=command.SHORT,
                description=command.DESCRIPTION,
                epilog=command.EXAMPLES,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
    return parser
