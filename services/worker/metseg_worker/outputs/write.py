"""Writes every file of a result, the DICOM objects beside all others."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from metseg.errors import InputError, InputTooLargeError
from metseg.schemas.model_card import ModelCard
from metseg.schemas.report import Report
from metseg_worker.outputs.dicom.sandboxed import Finding, ObjectWriter
from metseg_worker.outputs.follow_up_csv import write_follow_up
from metseg_worker.outputs.images_and_csv import CSV_TYPE, JSON_TYPE, PDF_TYPE, PNG_TYPE, write_images, write_table
from metseg_worker.outputs.overlay import draw_largest, draw_overlay
from metseg_worker.outputs.pdf import LARGEST_SHOWN, Pictures, write_pdf
from metseg_worker.outputs.report import note_of

NO_OBJECTS: Final = (
    "The headers of the images could not be made into DICOM objects, so there are none of the result."
)
OBJECTS_TOO_LARGE: Final = (
    "DICOM objects of the result would have taken more time or memory than is allowed, so there are none."
)


def write_result(
    finding: Finding, card: ModelCard, writer: ObjectWriter, folder: Path, *, check: Callable[[], None]
) -> list[tuple[Path, str]]:
    """Write what was found into a folder.

    A mask is worth having alone: where the headers allow no objects, or they take too much, the documents are
    written once more, with a warning.

    Args:
        finding: What is to be written.
        card: Of the model that was asked.
        writer: Writes the objects, into a folder of its own.
        folder: Takes the files.
        check: Called while the objects are waited for; what it raises ends the work.

    Returns:
        The files with their media types.

    Raises:
        ConfinedError: The process that writes the objects failed by a fault of its own.
    """
    writer.begin(finding)
    report = finding.report
    images = write_images(finding.scan, finding.segmentation, folder, note=note_of(report))
    documents = _write_documents(finding, report, card, folder)
    try:
        objects = writer.files(check)
    except InputError as exc:
        why = OBJECTS_TOO_LARGE if isinstance(exc, InputTooLargeError) else NO_OBJECTS
        objects, warnings = [], [*report.warnings, why]
        documents = _write_documents(finding, report.model_copy(update={"warnings": warnings}), card, folder)
    return [*images, *objects, *documents]


def _write_documents(finding: Finding, report: Report, card: ModelCard, folder: Path) -> list[tuple[Path, str]]:
    overlay, table, document, figures = (
        folder / name for name in ("overlay.png", "lesions.csv", "report.pdf", "report.json")
    )
    draw_overlay(finding.scan, finding.segmentation, report, overlay)
    tiles = draw_largest(finding.scan, finding.segmentation, LARGEST_SHOWN)
    write_pdf(report, card, Pictures(tiles, overlay), document)
    write_table(report, table)
    figures.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    changes = write_follow_up(report, folder)
    return [*changes, (overlay, PNG_TYPE), (table, CSV_TYPE), (figures, JSON_TYPE), (document, PDF_TYPE)]
