"""Lesions as a table of text, beside those that were drawn into a phantom."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from metseg.schemas.report import Lesion

FOUND_HEAD = ("#", "volume mm³", "longest × perp. mm", "centre RAS mm", "probability")
DRAWN_HEAD = ("drawn mm³", "longest mm", "kind")
NOWHERE = ("–", "–", "–", "–", "–")
SLACK_MM = 2.0


@dataclass(frozen=True)
class DrawnLesion:
    """A lesion of a phantom, as the file beside it tells."""

    kind: str
    volume_mm3: float
    longest_mm: float
    centre_ras_mm: tuple[float, float, float]

    def is_at(self, lesion: Lesion) -> bool:
        """Whether a found lesion's centre lies within this one, or nearly so."""
        centre = lesion.centroid_ras_mm
        return centre is not None and math.dist(centre, self.centre_ras_mm) <= self.longest_mm / 2 + SLACK_MM


def read_drawn(truth_file: Path) -> list[DrawnLesion]:
    """The lesions of a phantom, from the JSON file beside it."""
    return [
        DrawnLesion(
            kind=lesion["kind"],
            volume_mm3=lesion["volume_mm3"],
            longest_mm=lesion["longest_axial_mm"],
            centre_ras_mm=tuple(lesion["centre_ras_mm"]),
        )
        for lesion in json.loads(truth_file.read_text(encoding="utf-8"))["lesions"]
    ]


def lesion_table(lesions: Iterable[Lesion]) -> str:
    """One line a lesion, largest first; a sentence when there is none."""
    rows = [_found_cells(lesion) for lesion in lesions]
    return _aligned([FOUND_HEAD, *rows]) if rows else "No lesion was found."


def comparison_table(lesions: Iterable[Lesion], drawn: Iterable[DrawnLesion]) -> str:
    """Found lesions beside the drawn ones; first what was found, then what was missed."""
    missed = list(drawn)
    rows = []
    for lesion in lesions:
        here = next((one for one in missed if one.is_at(lesion)), None)
        if here is not None:
            missed.remove(here)
        rows.append((*_found_cells(lesion), *_drawn_cells(here)))
    rows += [(*NOWHERE, *_drawn_cells(one)) for one in missed]
    return _aligned([(*FOUND_HEAD, *DRAWN_HEAD), *rows])


def _found_cells(lesion: Lesion) -> tuple[str, ...]:
    longest, perpendicular = lesion.longest_diameter_mm, lesion.perpendicular_diameter_mm
    return (
        str(lesion.label),
        _number(lesion.volume_mm3, 0),
        f"{_number(longest, 1)} × {_number(perpendicular, 1)}",
        _point(lesion.centroid_ras_mm),
        f"{lesion.mean_probability:.2f}",
    )


def _drawn_cells(drawn: DrawnLesion | None) -> tuple[str, ...]:
    if drawn is None:
        return ("none here", "–", "–")
    return (_number(drawn.volume_mm3, 0), _number(drawn.longest_mm, 1), drawn.kind)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _point(point: tuple[float, float, float] | None) -> str:
    return "–" if point is None else ", ".join(f"{value:.1f}" for value in point)
