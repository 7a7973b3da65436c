"""The record of a training run: a CSV file and its picture."""

import csv
from collections.abc import Sequence
from pathlib import Path


def write_log(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Write one line an epoch; a value that an epoch lacks stays empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)


def draw_curves(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Draw loss above and Dice below, over the epochs."""
    from matplotlib.figure import Figure  # slow to import, and fit alone needs it

    figure = Figure(figsize=(8, 7), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    names = dict.fromkeys(name for row in rows for name in row)
    for name in names:
        axes = upper if name == "loss" else lower
        if name == "loss" or name.startswith(("dice", "validation")):
            points = [(row["epoch"], row[name]) for row in rows if name in row]
            axes.plot(*zip(*points, strict=True), label=name.replace("_", " "))
    upper.set_ylabel("loss")
    lower.set_ylabel("Dice")
    lower.set_xlabel("epoch")
    lower.set_ylim(0, 1)
    lower.grid(visible=True, alpha=0.3)
    upper.grid(visible=True, alpha=0.3)
    upper.legend()
    lower.legend()
    figure.savefig(path, dpi=110)
