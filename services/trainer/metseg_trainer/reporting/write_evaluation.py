"""Writes the report of an evaluation: JSON, HTML with drawn cases, and the model card."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from metseg_trainer.datasets import Case
from metseg_trainer.evaluation.cases import OperatingPoint
from metseg_trainer.evaluation.evaluate import Subject
from metseg_trainer.evaluation.known_lesions import describe_known
from metseg_trainer.evaluation.report import Report, write_report
from metseg_trainer.evaluation.scores import SetFindings, headline
from metseg_trainer.metrics.bootstrap import interval_text
from metseg_trainer.reporting.case_drawings import draw_case, pick_cases
from metseg_trainer.reporting.html import render_report

Say = Callable[[str], None]


def write_evaluation(
    report: Report, subject: Subject, sets: Mapping[str, Sequence[Case]], path: Path, *, say: Say
) -> None:
    """Write the report as JSON and as a page, and the model card with it in it, and tell the figures.

    Args:
        report: What was found.
        subject: The model, to draw its best, median and worst cases.
        sets: The cases of the report.
        path: Of the JSON; the page has the ending `.html`, the card `.card.json`.
        say: Told each headline figure.
    """
    write_report(path, report)
    card = report.for_card().write_into(subject.card)
    card.write(path.with_suffix(".card.json"))
    drawings = {
        found.name: _draw_cases(found, subject, sets[found.name], report.points.point) for found in report.sets
    }
    path.with_suffix(".html").write_text(render_report(report, card, drawings), encoding="utf-8")
    for scores in report.scores.values():
        for score in filter(headline, scores):
            interval = interval_text(score.low, score.high)
            say(f"{score.dataset}: {score.metric} {score.value:.3f} ({interval}), {score.cases} cases")
    for line in (line for findings in report.sets for line in describe_known(findings)):
        say(line)
    say(f"Report in {path}, {path.with_suffix('.html').name} and {path.with_suffix('.card.json').name}")


def _draw_cases(
    found: SetFindings, subject: Subject, cases: Sequence[Case], point: OperatingPoint
) -> dict[str, tuple[str, str]]:
    named = {case.name: case for case in cases}
    return {
        rank: (f"{result.name}, Dice {result.dice:.2f}", draw_case(subject.see_one(named[result.name]), point))
        for rank, result in pick_cases(found.results).items()
    }
