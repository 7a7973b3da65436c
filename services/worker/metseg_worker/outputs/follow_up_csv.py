"""Writes `follow_up.csv`: what became of each lesion since each of the earlier scans."""

import csv
from pathlib import Path
from typing import Final

from metseg.schemas.follow_up import Comparison, LesionChange
from metseg.schemas.report import Report
from metseg_worker.outputs.images_and_csv import CSV_TYPE
from metseg_worker.outputs.report import note_of

TABLE: Final = "follow_up.csv"
COLUMNS: Final = (
    *("previous_job", "kind", "labels_before", "labels_now"),
    *("volume_before_mm3", "volume_now_mm3", "volume_change_percent"),
    *("longest_before_mm", "longest_now_mm", "longest_change_percent"),
    *("target", "made_by"),
)
"""Columns of the table; several labels are parted by a space, and a change from nothing is left empty."""


def write_follow_up(report: Report, folder: Path) -> list[tuple[Path, str]]:
    """Write the table of a report with a follow-up.

    Args:
        report: Of the scan.
        folder: Where to write.

    Returns:
        The file with its media type; nothing where no earlier scan was named.
    """
    if report.follow_up is None:
        return []
    path, made_by = folder / TABLE, {"made_by": note_of(report)}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for comparison in report.follow_up.comparisons:
            writer.writerows(_row(comparison, change) | made_by for change in comparison.changes)
    return [(path, CSV_TYPE)]


def _row(comparison: Comparison, change: LesionChange) -> dict[str, str]:
    figures = change.model_dump(exclude={"kind", "before", "now", "target"})
    return {
        "previous_job": comparison.job_id,
        "kind": change.kind.value,
        "labels_before": " ".join(map(str, change.before)),
        "labels_now": " ".join(map(str, change.now)),
        "target": str(change.target).lower(),
        **{name: "" if value is None else f"{value:.4f}" for name, value in figures.items()},
    }
