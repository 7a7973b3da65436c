"""Putting models side by side."""

import argparse
import json
from pathlib import Path

from metseg.errors import RequestError
from metseg_trainer.commands.output import say
from metseg_trainer.commands.paths import add_places
from metseg_trainer.keras_start import load_keras

SHORT = "put models side by side and name the best"

DESCRIPTION = """\
Judge several models on the same cases, each at the operating point of its card (a run's at that of its report, or
0.5), and name the one to be the default: that with the best mean Dice over all cases. Differences are paired case
by case, with 95 % intervals by the bootstrap over patients. The mean of all models' probabilities is judged too,
and with --flips each model with every slice mirrored; both are reported and never the default.

Written are compare.json and compare.html. The cases are those that the first model's recipe keeps apart, with
synthetic test scans, or a folder of your own (--cases)."""

EXAMPLES = """\
examples:
  metseg-train compare --models models/attention_unet/1 models/unet_plus_plus/1 --data ../shared/data
  metseg-train compare --runs runs/one runs/other --data ../shared/data --flips
  metseg-train compare --models models/*/1 --cases my-slices --out comparison"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--models", type=Path, nargs="+", default=[], metavar="DIR", help="exported models")
    parser.add_argument("--runs", type=Path, nargs="+", default=[], metavar="DIR", help="training runs")
    parser.add_argument("--cases", type=Path, metavar="DIR", help="images and masks of your own, all of them used")
    parser.add_argument("--flips", action="store_true", help="judge each model with mirrored slices too")
    parser.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="folder for compare.json and compare.html (here)"
    )
    add_places(parser)


def run(options: argparse.Namespace) -> None:
    """Carry it out.

    Raises:
        RequestError: No model is named, or one twice.
    """
    load_keras()
    from metseg_trainer.commands.models import cases_to_judge, open_exported, open_run
    from metseg_trainer.evaluation import comparison as comparing
    from metseg_trainer.reporting import comparison_html

    if not options.models and not options.runs:
        raise RequestError("name at least one model by --models or --runs")
    opened = [(f"{path.parent.name}/{path.name}", *open_exported(path, options)) for path in options.models]
    opened += [(path.name, *open_run(path, options)) for path in options.runs]
    names = [name for name, _, _ in opened]
    if len(names) != len(set(names)):
        raise RequestError(f"expected models of different names, got {', '.join(names)}")
    entrants = [comparing.Entrant(name, subject) for name, subject, _ in opened]
    if options.flips:
        entrants += [comparing.flipped(entrant) for entrant in entrants]
    comparison = comparing.compare(entrants, cases_to_judge(options, opened[0][2], "test"))
    data = "--data $METSEG_DATA" if options.cases is None else f"--cases {options.cases.name}"
    command = f"metseg-train compare {' '.join(names)}{' --flips' if options.flips else ''} {data}"
    options.out.mkdir(parents=True, exist_ok=True)
    document = comparing.comparison_document(comparison, command)
    (options.out / "compare.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    page = comparison_html.render_comparison(comparison, command)
    (options.out / "compare.html").write_text(page, encoding="utf-8")
    for line in (*comparison_html.table_lines(comparison), comparison.verdict()):
        say(line)
