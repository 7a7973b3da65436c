"""Charts of an evaluation, as SVG to stand inside a page."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metseg_trainer.evaluation.scores import SetFindings, by_size
from metseg_trainer.metrics.bootstrap import Estimate
from metseg_trainer.metrics.sizes import BY_DIAMETER

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#1f6f8b", "#c8553d", "#5b8c5a", "#7d5ba6", "#b8860b")
MOST_FALSE_SHOWN = 10.0


def draw_free_response(sets: Sequence[SetFindings]) -> str:
    """Draw sensitivity against false lesions a scan, with the operating points as dots."""
    figure, axes = _figure()
    widest = 1.0
    for colour, findings in zip(_colours(sets), sets, strict=True):
        points = [(p.false_lesions, p.sensitivity) for p in findings.curve if p.sensitivity is not None]
        if not points:
            continue
        false, found = (np.array(values) for values in zip(*sorted(points), strict=True))
        axes.plot(false, np.maximum.accumulate(found), color=colour, label=findings.name)
        widest = max(widest, min(float(false.max()), MOST_FALSE_SHOWN))
        for name, point in findings.at_points.items():
            if point.sensitivity is not None:
                marker = "s" if name == "planning" else "o"
                axes.plot(point.false_lesions, point.sensitivity, marker, color=colour, markersize=7)
    axes.set_xlim(-0.02 * widest, 1.05 * widest)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("false lesions a scan")
    axes.set_ylabel("share of lesions found")
    _finish(axes)
    return _svg(figure)


def draw_dice_histogram(sets: Sequence[SetFindings]) -> str:
    """Draw how many cases have which Dice."""
    figure, axes = _figure()
    values = [[result.dice for result in findings.results] for findings in sets]
    axes.hist(
        values,
        bins=np.linspace(0, 1, 11).tolist(),
        color=_colours(sets),
        label=[f"{findings.name} ({len(findings.results)})" for findings in sets],
    )
    axes.set_xlabel("Dice of a case")
    axes.set_ylabel("cases")
    _finish(axes)
    return _svg(figure)


def draw_sensitivity_by_size(sets: Sequence[SetFindings]) -> str:
    """Draw the share of lesions found by class of diameter, with intervals and numbers of lesions."""
    figure, axes = _figure()
    width = 0.8 / max(len(sets), 1)
    for index, (colour, findings) in enumerate(zip(_colours(sets), sets, strict=True)):
        for place, row in enumerate(by_size(findings, BY_DIAMETER)):
            x = place + (index - (len(sets) - 1) / 2) * width
            label = findings.name if place == 0 else None
            if row.sensitivity is None:
                axes.bar(x, 0, width, color=colour, label=label)
                continue
            reach = _reach(row.sensitivity)
            axes.bar(
                x,
                row.sensitivity.value,
                width * 0.95,
                color=colour,
                label=label,
                yerr=reach,
                capsize=3,
                ecolor="#333333",
            )
            axes.annotate(f"n={row.lesions}", (x, 0.02), ha="center", color="white", fontsize=8)
    axes.set_xticks(range(len(BY_DIAMETER.names)), BY_DIAMETER.names)
    axes.set_ylim(0, 1.08)
    axes.set_ylabel("share of lesions found")
    _finish(axes)
    return _svg(figure)


def _reach(estimate: Estimate) -> list[list[float]] | None:
    """Return how far an interval goes below and above its figure."""
    if estimate.low is None or estimate.high is None:
        return None
    return [[max(estimate.value - estimate.low, 0)], [max(estimate.high - estimate.value, 0)]]


def _figure() -> "tuple[Figure, Any]":
    from matplotlib.figure import Figure  # slow to import, and a page alone needs it

    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    return figure, figure.subplots()


def _colours(sets: Sequence[SetFindings]) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(len(sets))]


def _finish(axes: Any) -> None:
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def _svg(figure: "Figure") -> str:
    """Write a figure as an SVG element, its letters as letters and no date in it."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "metseg"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
