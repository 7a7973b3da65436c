"""A comparison as a page and as lines of text."""

from collections.abc import Sequence
from html import escape

import numpy as np

from metseg_trainer.evaluation.comparison import Comparison, Row
from metseg_trainer.metrics.bootstrap import interval_text, mean_with_interval
from metseg_trainer.reporting.html import Cell, render_page, render_table


def render_comparison(comparison: Comparison, command: str) -> str:
    """Write a comparison as a page that needs nothing else."""
    rows = comparison.rows
    best = [index for index, row in enumerate(rows) if row is comparison.best]
    head = (
        "Model ",
        "Threshold",
        "Mean Dice",
        "95 % interval",
        "Lesion-wise Dice",
        "Behind the best",
        "95 % interval",
    )
    sets = list(rows[0].results)
    set_head = ("Model ", *(f"{name}: {figure}" for name in sets for figure in ("Dice", "lesion-wise")))
    parts = [
        "<h1>Models side by side</h1>",
        f"<p class=notice>{escape(comparison.verdict())}</p>",
        f"<p>All on the same {len(rows[0].dice)} cases, each model at the operating point of its card. What "
        "cannot be hosted as it is (flips, the ensemble) is reported and never the default.</p>",
        "<h2>Over all cases</h2>",
        render_table(head, [_overall(comparison, row) for row in rows], main_rows=best),
        "<h2>By data set</h2>",
        render_table(set_head, [_by_set(row, sets) for row in rows], main_rows=best),
        "<p>Differences are paired case by case; intervals are 95 % by the bootstrap over patients.</p>",
        f"<p>Made by <code>{escape(command)}</code></p>",
    ]
    return render_page("Models side by side", "\n".join(parts))


def table_lines(comparison: Comparison) -> list[str]:
    """Write a comparison as lines of a table."""
    width = max(len(row.name) for row in comparison.rows)
    lines = [f"{'model':<{width}}  {'Dice (95 % interval)':<24}  {'lesion-wise':<11}  behind the best"]
    for row in comparison.rows:
        dice, behind = mean_with_interval(row.dice, row.patients), comparison.difference(row)
        lesionwise = f"{np.mean(row.lesionwise_dice):.3f}"
        lines.append(f"{row.name:<{width}}  {dice.text:<24}  {lesionwise:<11}  {behind.text}")
    return lines


def _overall(comparison: Comparison, row: Row) -> Sequence[Cell]:
    dice, behind = mean_with_interval(row.dice, row.patients), comparison.difference(row)
    return (
        row.name,
        row.point.threshold,
        dice.value,
        interval_text(dice.low, dice.high),
        float(np.mean(row.lesionwise_dice)),
        behind.value,
        interval_text(behind.low, behind.high),
    )


def _by_set(row: Row, sets: Sequence[str]) -> Sequence[Cell]:
    means = [
        float(np.mean(values))
        for name in sets
        for values in (
            [result.dice for result in row.results[name]],
            [result.lesionwise.dice for result in row.results[name]],
        )
    ]
    return (row.name, *means)
