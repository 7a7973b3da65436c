"""Page, document and report tell one side of a lesion, also where the file's origin lies beside the head."""

import csv
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from heads import LESION_GREY, head, motion
from pdf_words import words_of
from phantoms import card
from PIL import Image, ImageChops

from metseg.imaging.nifti import geometry_of
from metseg.imaging.scan import Scan, ScanKind
from metseg.inference.segment import Segmentation
from metseg.lesions.find import LesionRules, find_lesions
from metseg.schemas.job import InputFile, JobRecord, JobRequest, ModelRef, new_job_id
from metseg.schemas.report import Hemisphere, Report
from metseg_ui.text import totals
from metseg_ui.viewer.captions import lesion_table
from metseg_ui.viewer.study import Study, combine
from metseg_worker.anatomy.neck import anatomy_of
from metseg_worker.outputs.images_and_csv import write_table
from metseg_worker.outputs.overlay import draw_largest
from metseg_worker.outputs.pdf import Pictures, write_pdf
from metseg_worker.outputs.report import AskedModel, build_report

Ball = tuple[tuple[float, float, float], float]
BALLS: list[Ball] = [((-20.0, 10.0, 12.0), 8.0), ((30.0, -45.0, 20.0), 3.5)]
ASIDE = motion(0, (0, 0, 1), (92, 0, 0))
"""The whole head lies to the right of the file's origin."""
LETTERED = re.compile(r"\b[RLAPSI]\s?-?\d")


def result_of(balls: list[Ball], *, placed: bool = True) -> tuple[Report, Study, Image.Image]:
    """Return report, what the UI shows, and a slice as the overlay has it."""
    volume = head((2.0, 2.0, 2.0), balls, pose=ASIDE)
    header = geometry_of(volume)
    scan = Scan(volume, ScanKind.NIFTI, nifti_header=header if placed else without_place(header))
    mask = volume.with_array((volume.array == LESION_GREY).astype(np.uint8))
    sure = mask.with_array(mask.array.astype(np.float32))
    lesions, labels = find_lesions(mask, sure.array, LesionRules())
    found = Segmentation(sure, mask, mask.with_array(labels), lesions, 0.5, coarsened=False)
    record = JobRecord(
        id=new_job_id(),
        created_at=datetime(2026, 2, 3, tzinfo=UTC),
        request=JobRequest(),
        model=ModelRef(name="attention_unet", version=1, digest="d" * 64),
        inputs=[InputFile(key="k", size_bytes=7, sha256="e" * 64)],
    )
    report = build_report(record, AskedModel(card(), "CPU"), scan, found, anatomy_of(scan))
    study = combine(scan, Scan(found.labels, ScanKind.NIFTI), report.lesions)
    return report, study, draw_largest(scan, found, 1)[0]


def without_place(header: bytes) -> bytes:
    """Clear qform_code and sform_code, the 16-bit numbers at bytes 252 and 254 of a NIfTI-1 header."""
    return header[:252] + bytes(4) + header[256:]


def document_of(report: Report, folder: Path) -> str:
    Image.new("RGB", (400, 300)).save(folder / "overlay.png")
    write_pdf(report, card(), Pictures([], folder / "overlay.png"), folder / "report.pdf")
    return " ".join(words_of((folder / "report.pdf").read_bytes()))


def test_a_lesion_right_of_the_origin_is_left_on_page_document_and_report(tmp_path: Path) -> None:
    report, study, _ = result_of(BALLS)
    table, document = lesion_table(report, study), document_of(report, tmp_path)
    assert report.lesions[0].centroid_ras_mm == pytest.approx((72, 10, 12), abs=1)
    assert [lesion.hemisphere for lesion in report.lesions] == [Hemisphere.LEFT, Hemisphere.RIGHT]
    assert table["Side"] == ["left", "right"]
    for lesion, centre in zip(report.lesions, table["Centre RAS mm"], strict=True):
        assert [int(part) for part in centre.split(", ")] == [round(mm) for mm in lesion.centroid_ras_mm]
        assert centre in document
    words = document.partition("Places in the head")[2]
    assert re.findall(r"\b(left|right) \d+ mm", words) == ["left", "right"]
    assert not LETTERED.search(" ".join(table["Centre RAS mm"]) + document.partition("Appendix")[0])


def test_no_sum_is_told_where_nothing_is_measurable(tmp_path: Path) -> None:
    report, _, _ = result_of(BALLS[1:])
    assert report.rano_bm.sum_of_longest_diameters_mm == 0
    assert totals(report)["RANO-BM sum"] == "none measurable"
    document = document_of(report, tmp_path)
    assert "RANO-BM: none measurable." in document
    assert "0.0 mm" not in document


def test_no_side_is_told_where_the_file_knows_none(tmp_path: Path) -> None:
    report, study, drawn = result_of(BALLS, placed=False)
    _, _, lettered = result_of(BALLS)
    assert [lesion.hemisphere for lesion in report.lesions] == [None, None]
    assert "Side" not in lesion_table(report, study)
    assert not study.knows_sides
    assert not re.search(r"\b(left|right) \d+ mm", document_of(report, tmp_path))
    write_table(report, tmp_path / "lesions.csv")
    rows = list(csv.DictReader((tmp_path / "lesions.csv").read_text("utf-8").splitlines()))
    assert [(row["hemisphere"], row["right_of_midplane_mm"]) for row in rows] == [("", "")] * 2
    middle = (0, drawn.height // 2 - 15, 30, drawn.height // 2 + 15)  # where R stands
    assert ImageChops.difference(drawn.crop(middle), lettered.crop(middle)).getbbox() is not None
