"""Measuring a model."""

import argparse
from pathlib import Path

from metseg_trainer.commands.output import say
from metseg_trainer.commands.paths import add_places
from metseg_trainer.keras_start import load_keras
from metseg_trainer.training.run_folder import RunFolder

SHORT = "measure a model"

DESCRIPTION = """\
Measure a model through the very path that serves it. The main metric is the mean Dice over cases; beside it stand
lesion-wise Dice, sensitivity, precision and F1 as BraTS-METS defines them, HD95, surface Dice, the free-response
curve and sensitivity by size of lesion, all with 95 % intervals by the bootstrap over patients. Written are the
report (JSON), a page of its own that needs no network (.html), and the model card with the scores in it
(.card.json).

The model is an exported one (--model) or a training run (--run). The cases are those that its recipe keeps apart,
with synthetic test scans, or a folder of your own (--cases), of which all are used. Predictions are kept in the
cache folder, so that a second look costs no second prediction.

--choose takes two operating points from validation cases first: planning, with the best Dice and lesion-wise F1,
becomes the model's threshold; screening finds most lesions with at most 2 false ones a scan. At both it fits how
often a lesion that is found is a true one, which becomes the confidence of each lesion in a result."""

EXAMPLES = """\
examples:
  metseg-train evaluate --model models/attention_unet/1 --data ../shared/data
  metseg-train evaluate --run runs/shipped --data ../shared/data --choose
  metseg-train evaluate --run runs/nested --level 3 --choose      (U-Net++ pruned to its third head)
  metseg-train evaluate --model models/attention_unet/1 --cases my-slices --out my-report.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", type=Path, metavar="DIR", help="an exported model, models/<name>/<version>")
    what.add_argument("--run", type=Path, metavar="DIR", help="a training run")
    parser.add_argument("--cases", type=Path, metavar="DIR", help="images and masks of your own, all of them used")
    parser.add_argument(
        "--choose", action="store_true", help="choose both operating points on the validation cases first"
    )
    parser.add_argument(
        "--level",
        type=int,
        metavar="N",
        help="with --run of a U-Net++: what head N needs alone, in its folder lN/",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the report (report.json in the run, or here)")
    add_places(parser)


def run(options: argparse.Namespace) -> None:
    """Carry it out."""
    load_keras()
    from metseg_trainer.commands.models import cases_to_judge, open_exported, open_run
    from metseg_trainer.evaluation.evaluate import choose, describe_confidence, describe_point, measure
    from metseg_trainer.evaluation.report import KEPT_APART, OWN_CASES
    from metseg_trainer.reporting.write_evaluation import write_evaluation
    from metseg_trainer.training.pruning import prune_run

    folder = RunFolder(Path()) if options.run is None else prune_run(RunFolder(options.run), options.level)
    subject, recipe = open_run(folder.path, options) if options.run else open_exported(options.model, options)
    points = subject.points
    if options.choose:
        points = choose(subject, cases_to_judge(options, recipe, "validation"))
        for measured in points.measured:
            say(describe_point(measured))
        for line in describe_confidence(points):
            say(line)
    sets = cases_to_judge(options, recipe, "test")
    report = measure(
        subject,
        sets,
        points,
        command=_command(subject.card.name, subject.card.version, options.cases),
        partition=KEPT_APART if options.cases is None else OWN_CASES,
    )
    path = options.out or folder.report
    write_evaluation(report, subject, sets, path, say=say)


def _command(name: str, version: int, cases: Path | None) -> str:
    """Write what measures the exported model again; a card never tells where things lay on one machine."""
    data = "--data $METSEG_DATA" if cases is None else f"--cases {cases.name}"
    return f"metseg-train evaluate --model models/{name}/{version} {data}"
