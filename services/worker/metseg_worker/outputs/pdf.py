"""Writes `report.pdf`: one page that says what was found, and an appendix that says how.

The page holds pictures of the largest lesions and the table; the appendix all pictures, the other lesions, the
rules of RANO-BM, the model with its limits, and where the result comes from. Nothing in it tells who the patient
is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fpdf import FPDF
from fpdf.enums import TableBordersLayout, TableCellFillMode, XPos, YPos
from PIL import Image

from metseg.imaging.scan import ScanKind
from metseg.lesions.centre_text import CENTRE_NOTE
from metseg.response.text import FIGURES as CHANGE_FIGURES
from metseg.response.text import cells_of, comparison_sentence, sum_lines, verdict_sentence
from metseg.schemas.follow_up import LesionChange
from metseg.schemas.model_card import ModelCard
from metseg.schemas.report import Lesion, Report
from metseg_worker.outputs.pdf_text import (
    CONFIDENCE_TOLD,
    PLACES,
    SPREAD_TOLD,
    figure_names,
    figures_of,
    place_cells,
    rano_lines,
    score_lines,
    source_lines,
    summary_lines,
    training_lines,
)
from metseg_worker.outputs.report import note_of

MARGIN_MM: Final = 15
WIDTH_MM: Final = 180
TILE_MM: Final = 58
LARGEST_SHOWN: Final = 3
"""Pictures on the first page."""
HIGHEST_PICTURE_MM: Final = 235
FIRST_LESIONS: Final = 14
"""So many lesions fit on the first page; the others stand in the appendix."""
MOST_LESIONS: Final = 100
"""What the document holds at most; a table takes its time, and nobody reads thousands of specks on paper."""
INK: Final = (24, 28, 34)
FAINT: Final = (96, 104, 116)
CAUTION: Final = (150, 84, 0)
HEAD: Final = (228, 232, 238)
REPLACED: Final = {"–": "-", "—": "-", "≥": ">=", "≤": "<=", "…": "...", "’": "'", "“": '"', "”": '"', "≈": "~"}
"""The fonts that every PDF reader has know Latin-1 alone."""


@dataclass(frozen=True)
class Pictures:
    """What is shown: slices with the largest lesions, and the contact sheet with all."""

    tiles: Sequence[Image.Image]
    sheet: Path


class _Pages(FPDF):
    """Pages with the research-use statement at their foot."""

    def __init__(self, report: Report) -> None:
        super().__init__(format="A4")
        self._foot = f"{report.research_use} Job {report.job_id}"
        self.set_margins(MARGIN_MM, MARGIN_MM)
        self.set_auto_page_break(True, margin=18)
        self.set_creation_date(report.created_at)
        self.set_title("Brain lesions: report of one scan")
        self.set_creator("metseg")
        self.set_subject(report.research_use)
        self.set_keywords(latin(note_of(report)))

    def footer(self) -> None:
        """Say on every page what this is."""
        self.set_y(-13)
        self._style(7.5, FAINT)
        self.cell(WIDTH_MM - 20, 5, latin(self._foot))
        self.cell(20, 5, f"{self.page_no()} / {{nb}}", align="R")

    def heading(self, text: str, size: float = 12) -> None:
        """A line in bold with room above it."""
        self.ln(2.5)
        self._style(size, INK, "B")
        self.cell(0, size * 0.55, latin(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def lines(self, texts: Sequence[str], size: float = 9, ink: tuple[int, int, int] = INK) -> None:
        """Paragraphs, each broken between words."""
        self._style(size, ink)
        for text in texts:
            self.multi_cell(0, size * 0.48, latin(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT, align="L")

    def figures(self, report: Report, lesions: Sequence[Lesion]) -> None:
        """The table of lesions."""
        self._table(
            [figure_names(report), *(figures_of(report, lesion) for lesion in lesions)],
            widths=(8, 20, 26, 14, 36, 15, 46, 15),
            align=("RIGHT", "RIGHT", "RIGHT", "RIGHT", "LEFT", "RIGHT", "LEFT", "RIGHT"),
        )
        notes = [SPREAD_TOLD if report.model.members else CONFIDENCE_TOLD]
        if report.source.kind != ScanKind.PICTURE:
            notes.append(CENTRE_NOTE)
        self.lines(notes, 8, FAINT)

    def places(self, lesions: Sequence[Lesion]) -> None:
        """The table of where lesions lie in the head."""
        self._table(
            [PLACES, *(place_cells(lesion) for lesion in lesions)],
            widths=(14, 30, 60, 76),
            align=("RIGHT", "LEFT", "RIGHT", "RIGHT"),
        )

    def changes(self, changes: Sequence[LesionChange]) -> None:
        """The table of what became of lesions."""
        self._table(
            [CHANGE_FIGURES, *(cells_of(change) for change in changes)],
            widths=(14, 14, 28, 24, 24, 17, 22, 22, 15),
            align=("LEFT", "LEFT", "LEFT", *["RIGHT"] * 6),
        )

    def _table(self, rows: Sequence[Sequence[str]], *, widths: tuple[int, ...], align: tuple[str, ...]) -> None:
        """Rows of cells, the first of them the heading."""
        self._style(8, INK)
        self.ln(1)
        with self.table(
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            cell_fill_color=(247, 248, 250),
            cell_fill_mode=TableCellFillMode.ROWS,
            col_widths=widths,
            line_height=4.6,
            text_align=align,
        ) as table:
            for row in rows:
                table.row([latin(cell) for cell in row])

    def _style(self, size: float, ink: tuple[int, int, int], style: str = "") -> None:
        self.set_font("helvetica", style, size)
        self.set_text_color(*ink)


def write_pdf(report: Report, card: ModelCard, pictures: Pictures, path: Path) -> None:
    """Write the document; the same report and pictures give the same bytes.

    Args:
        report: All figures and words.
        card: Of the model, for its scores and limits.
        pictures: What is shown.
        path: Where to write.
    """
    pages = _Pages(report)
    _first_page(pages, report, pictures.tiles)
    _appendix(pages, report, card, pictures.sheet)
    pages.output(str(path))


def latin(text: str) -> str:
    """The text in letters that the fonts have."""
    for letter, instead in REPLACED.items():
        text = text.replace(letter, instead)
    return text.encode("latin-1", "replace").decode("latin-1")


def _first_page(pages: _Pages, report: Report, tiles: Sequence[Image.Image]) -> None:
    pages.add_page()
    pages.heading("Brain lesions: report of one scan", 16)
    pages.lines([report.research_use], 10, CAUTION)
    pages.ln(1)
    pages.lines(summary_lines(report), 10)
    if report.follow_up is not None:
        pages.lines([verdict_sentence(report.follow_up), *sum_lines(report.follow_up)], 10)
    pages.lines(report.warnings, 8.5, CAUTION)
    pages.ln(2)
    _row_of_tiles(pages, tiles)
    pages.heading("Lesions, largest first")
    if report.lesions:
        pages.figures(report, report.lesions[:FIRST_LESIONS])
    else:
        pages.lines(["No lesion was found above the threshold. This does not mean that there is none."])
    if report.lesion_count > FIRST_LESIONS:
        pages.lines(
            [f"The other {report.lesion_count - FIRST_LESIONS} lesions stand in the appendix."], 8.5, FAINT
        )


def _row_of_tiles(pages: _Pages, tiles: Sequence[Image.Image]) -> None:
    """Side by side, as high as the highest of them."""
    if not tiles:
        return
    top, gap = pages.get_y(), (WIDTH_MM - 3 * TILE_MM) / 2
    for number, tile in enumerate(tiles):
        pages.image(tile, MARGIN_MM + number * (TILE_MM + gap), top, TILE_MM)
    highest = max(tile.height / tile.width for tile in tiles)
    pages.set_y(top + TILE_MM * highest + 1)
    words = "Radiological view. Orange: outline. Blue: longest diameter and its perpendicular."
    pages.lines([words], 8, FAINT)


def _follow_up(pages: _Pages, report: Report) -> None:
    """A table for each earlier scan; nothing where none was named."""
    if report.follow_up is None:
        return
    pages.heading("Since the earlier scans")
    for comparison in report.follow_up.comparisons:
        pages.lines([comparison_sentence(comparison)], 8.5)
        if comparison.changes:
            pages.changes(comparison.changes[:MOST_LESIONS])
        if len(comparison.changes) > MOST_LESIONS:
            pages.lines(["The others stand in follow_up.csv alone."], 8.5, FAINT)
    pages.lines([f"{kind.value}: {told}" for kind, told in report.follow_up.kinds.items()], 8, FAINT)
    pages.lines([f"Not judged: {'; '.join(report.follow_up.not_judged)}."], 8, FAINT)


def _places(pages: _Pages, report: Report) -> None:
    """Where the lesions lie, and what could not be told; nothing without a lesion."""
    if report.head is None or not report.lesions:
        return
    pages.heading("Places in the head")
    if any(lesion.hemisphere or lesion.head_surface_mm is not None for lesion in report.lesions):
        pages.places(report.lesions[:MOST_LESIONS])
    pages.lines(report.head.not_told, 8.5, FAINT)


def _appendix(pages: _Pages, report: Report, card: ModelCard, sheet: Path) -> None:
    pages.add_page()
    pages.heading("Appendix: how this result was made", 14)
    if report.lesion_count > FIRST_LESIONS:
        pages.heading("Further lesions")
        pages.figures(report, report.lesions[FIRST_LESIONS:MOST_LESIONS])
    if report.lesion_count > MOST_LESIONS:
        pages.lines([f"The smallest {report.lesion_count - MOST_LESIONS} stand in lesions.csv alone."], 8.5, FAINT)
    _follow_up(pages, report)
    _places(pages, report)
    pages.heading("RANO-BM")
    pages.lines(rano_lines(report), 8.5)
    pages.heading("Model")
    pages.lines([f"{card.name}, version {card.version}. {card.intended_use}", *training_lines(card)], 8.5)
    pages.heading("Limits", 10)
    pages.lines([f"- {limit}" for limit in card.limits], 8.5)
    pages.heading("Scores, with 95 % confidence intervals", 10)
    pages.lines(score_lines(card), 8.5)
    pages.heading("Origin")
    pages.lines(source_lines(report), 8)
    pages.add_page()
    with Image.open(sheet) as image:
        width = min(WIDTH_MM, HIGHEST_PICTURE_MM * image.width / image.height)
        pages.heading("All lesions")
        pages.image(image, MARGIN_MM, pages.get_y() + 2, width)
