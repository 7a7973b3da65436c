"""An evaluation as one page that needs nothing else: no script, no file beside it, no network."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from metseg.schemas.model_card import LesionConfidence, ModelCard, Score
from metseg_trainer.evaluation.known_lesions import CHANGED, KnownRow, compare_pairs, count_known
from metseg_trainer.evaluation.report import Report
from metseg_trainer.evaluation.scores import SIZE_CLASSES, SetFindings, SizeRow, by_size
from metseg_trainer.metrics.bootstrap import interval_text
from metseg_trainer.reporting.case_drawings import PREDICTION_COLOUR, TRUTH_COLOUR
from metseg_trainer.reporting.charts import draw_dice_histogram, draw_free_response, draw_sensitivity_by_size

BANNER = "For research use only. Not a medical device; not for diagnosis, treatment or triage."

STYLE = f"""
:root {{ color-scheme: light; }}
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1d2731; background: #fff; margin: 0 auto;
  padding: 0 1rem 4rem; max-width: 62rem; }}
h1 {{ font-size: 1.6rem; margin: 1.2rem 0 0.4rem; }}
h2 {{ font-size: 1.2rem; margin: 2.2rem 0 0.6rem; border-bottom: 1px solid #d5dbe1; padding-bottom: 0.2rem; }}
h3 {{ font-size: 1rem; margin: 1.4rem 0 0.4rem; }}
.banner {{ background: #7a1f1f; color: #fff; padding: 0.6rem 1rem; margin: 0 -1rem; font-weight: 600; }}
.notice {{ background: #fff6df; border-left: 4px solid #d69e2e; padding: 0.5rem 0.9rem; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 0.9rem; margin: 0.4rem 0; }}
th, td {{ text-align: left; padding: 0.25rem 0.9rem 0.25rem 0; border-bottom: 1px solid #e6eaee;
  vertical-align: top; }}
td.number, th.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
tr.main td {{ font-weight: 600; }}
.charts {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 1rem; }}
.cases {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }}
figure {{ margin: 0; }}
figure svg, figure img {{ max-width: 100%; height: auto; display: block; }}
figure img {{ background: #000; }}
figcaption {{ font-size: 0.85rem; color: #4a5763; margin-top: 0.3rem; }}
.key {{ display: inline-block; width: 1.4rem; height: 0.25rem; vertical-align: middle; margin-right: 0.3rem; }}
.truth {{ background: {TRUTH_COLOUR}; }} .prediction {{ background: {PREDICTION_COLOUR}; }}
code {{ background: #f1f3f5; padding: 0.1rem 0.3rem; overflow-wrap: anywhere; }}
@media (max-width: 30rem) {{ .charts {{ grid-template-columns: 1fr; }} }}
"""

Cell = str | float | int | None


def render_page(title: str, body: str) -> str:
    """Put a page around its content, the banner on top."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f'<body><div class="banner" role="note">{escape(BANNER)}</div>\n<main>{body}</main></body></html>\n'
    )


def render_report(report: Report, card: ModelCard, drawings: Mapping[str, Mapping[str, tuple[str, str]]]) -> str:
    """Write an evaluation as a page.

    Args:
        report: The figures.
        card: Of the model, with its training data.
        drawings: By data set and by rank (best, median, worst), a caption and a PNG as base64.
    """
    findings = report.for_card()
    evidence = findings.evidence
    parts = [
        f"<h1>{escape(card.name)}, version {card.version}: how good it is</h1>",
        f"<p>{escape(card.intended_use)}</p>",
        f'<p class="notice">{escape(card.disease_notice)}</p>',
        _list(f"{data.name} – {data.cases} cases, {data.licence}" for data in card.training_data),
        "<h2>Operating points</h2>",
        _points_table(report),
        "<h2>Confidence of a lesion</h2>",
        _confidence_table(report.points.confidence),
        "<h2>Figures</h2>",
        *(_scores_table(name, scores) for name, scores in report.scores.items()),
        "<h2>Curves</h2>",
        _charts(report.sets),
        "<h2>By size of lesion</h2>",
        *(_size_tables(findings) for findings in report.sets),
        "<h2>Cases</h2>",
        '<p><span class="key truth"></span>truth <span class="key prediction"></span>prediction. The slice with '
        "most of the truth; its left is the patient's right.</p>",
        *(_cases(name, ranked) for name, ranked in drawings.items()),
        "<h2>Where it goes wrong</h2>",
        _list(evidence.failures) or "<p>Nothing stands out in these cases.</p>",
        "<h2>Limits</h2>",
        _list([*card.limits, *(f"Not tested: {text}" for text in evidence.not_tested)]),
        "<h2>How it was measured</h2>",
        _list(evidence.definitions),
        _list(
            [
                f"Intervals: {evidence.intervals}",
                f"Reference standard: {evidence.reference_standard}",
                f"Partition: {evidence.partition}",
            ]
        ),
        f"<p>Made by <code>{escape(report.command)}</code></p>",
    ]
    return render_page(f"{card.name} {card.version}: evaluation", "\n".join(parts))


def render_table(head: Sequence[str], rows: Iterable[Sequence[Cell]], *, main_rows: Sequence[int] = ()) -> str:
    """Write a table; figures stand to the right, missing ones are a dash.

    Args:
        head: Names of the columns; one that ends with a space holds text.
        rows: As many cells each.
        main_rows: Rows to make stand out.
    """
    texts = [name.endswith(" ") for name in head]
    heads = "".join(
        f'<th scope="col"{"" if text else _NUMBER}>{escape(name.strip())}</th>'
        for name, text in zip(head, texts, strict=True)
    )
    lines = []
    for index, row in enumerate(rows):
        cells = "".join(
            f"<td{'' if text else _NUMBER}>{escape(_cell(cell))}</td>"
            for cell, text in zip(row, texts, strict=True)
        )
        lines.append(f"<tr{' class=main' if index in main_rows else ''}>{cells}</tr>")
    return (
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )


_NUMBER = ' class="number"'


def _cell(value: Cell) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _points_table(report: Report) -> str:
    point = report.points.point
    used = (
        f"<p>All figures below are at threshold {point.threshold:g}; lesions below {point.min_lesion_mm3:g} mm³ "
        f"({point.min_lesion_px} pixels in a picture) are dropped.</p>"
    )
    rows: list[Sequence[Cell]] = []
    for one in report.points.measured:
        rows.append(
            (one.name, one.threshold, one.sensitivity, one.false_lesions_per_scan, one.mean_dice, one.measured_on)
        )
        for findings in report.sets:
            reached = findings.at_points.get(one.name)
            if reached is not None:
                rows.append(("", one.threshold, reached.sensitivity, reached.false_lesions, None, findings.name))
    if not rows:
        return f"{used}<p>No operating points were chosen (evaluate --choose).</p>"
    head = ("Point ", "Threshold", "Lesions found", "False lesions a scan", "Mean Dice", "Measured on ")
    main = [index for index, row in enumerate(rows) if row[0]]
    return (
        used
        + render_table(head, rows, main_rows=main)
        + _list(f"{p.name}: {p.rule}" for p in report.points.measured)
    )


def _confidence_table(fitted: Sequence[LesionConfidence]) -> str:
    if not fitted:
        return "<p>None was fitted (evaluate --choose, on enough lesions).</p>"
    rows: list[Sequence[Cell]] = []
    for one in fitted:
        brier = f"{one.brier:.3f} ({interval_text(one.brier_low, one.brier_high)})"
        rows.append(
            (one.threshold, one.true_lesions, one.lesions, brier, one.brier_of_share, one.calibration_error)
        )
    head = ("Threshold", "True", "Lesions", "Brier score", "Of the share alone", "Calibration error")
    weights = [f"{part.name}, weight {part.weight:.2f}: {part.definition}" for part in fitted[0].features]
    told = [fitted[0].rule, *(f"Threshold {one.threshold:g}: {one.measured_on}." for one in fitted)]
    return render_table(head, rows) + _list([*weights, *told])


def _scores_table(name: str, scores: Sequence[Score]) -> str:
    rows = [(score.metric, score.value, interval_text(score.low, score.high), score.cases) for score in scores]
    return f"<h3>{escape(name)}</h3>" + render_table(
        ("Measure ", "Value", "95 % interval", "Cases"), rows, main_rows=(0,)
    )


def _charts(sets: Sequence[SetFindings]) -> str:
    volumes = [findings for findings in sets if findings.volumes]
    charts = [
        (
            draw_free_response(volumes or sets),
            "Free-response curve; a square is the planning point, a dot the screening point.",
        ),
        (draw_dice_histogram(sets), "Dice of each case."),
    ]
    if volumes:
        charts.append(
            (
                draw_sensitivity_by_size(volumes),
                "Lesions found, by the diameter of the ball of equal volume; n lesions.",
            )
        )
    figures = [f"<figure>{svg}<figcaption>{escape(text)}</figcaption></figure>" for svg, text in charts]
    return f'<div class="charts">{"".join(figures)}</div>'


def _size_tables(findings: SetFindings) -> str:
    tables = [by_size(findings, classes) for classes in SIZE_CLASSES]
    if not any(tables):
        return f"<p>{escape(findings.name)}: pictures without spacing have no size in mm.</p>"
    head = ("Lesions ", "Number", "Found", "Sensitivity", "95 % interval")
    sized = "".join(render_table(head, map(_size_row, rows)) for rows in tables)
    return f"<h3>{escape(findings.name)}</h3>{sized}{_known_table(findings)}"


def _known_table(findings: SetFindings) -> str:
    rows = [row for row in count_known(findings) if row.lesions]
    if not rows:
        return ""
    cells = [(row.heads, *_size_row(row)) for row in rows]
    table = render_table(("Heads ", "Lesions ", "Number", "Found", "Sensitivity", "95 % interval"), cells)
    changed = compare_pairs(findings)
    return table if changed is None else f"{table}<p>{escape(CHANGED.capitalize())}: {changed.text}.</p>"


def _size_row(row: SizeRow | KnownRow) -> Sequence[Cell]:
    estimate = row.sensitivity
    if estimate is None:
        return row.name, row.lesions, row.found, None, "–"
    return row.name, row.lesions, row.found, estimate.value, interval_text(estimate.low, estimate.high)


def _cases(name: str, ranked: Mapping[str, tuple[str, str]]) -> str:
    figures = [
        f'<figure><img alt="{escape(rank)} case: outlines of truth and prediction" '
        f'src="data:image/png;base64,{png}"><figcaption>{escape(rank)}: {escape(caption)}</figcaption></figure>'
        for rank, (caption, png) in ranked.items()
    ]
    return f'<h3>{escape(name)}</h3><div class="cases">{"".join(figures)}</div>'


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""
