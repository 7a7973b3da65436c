"""The document says what the report says, on a first page and in an appendix."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from follow_ups import EARLIER_JOB, follow_up
from pdf_words import words_of
from phantoms import card
from PIL import Image

from metseg.imaging.scan import Scan, ScanKind
from metseg.imaging.volume import Volume
from metseg.inference.segment import Segmentation
from metseg.lesions.find import LesionRules, find_lesions
from metseg.schemas.job import InputFile, JobRecord, JobRequest, ModelRef, new_job_id
from metseg.schemas.report import InputDigest, Report
from metseg.storage.checksums import sha256_of_all
from metseg_worker.anatomy.neck import anatomy_of
from metseg_worker.outputs.pdf import Pictures, latin, write_pdf
from metseg_worker.outputs.report import AskedModel, build_report, note_of


def report_of(mask: np.ndarray, scan_kind: ScanKind = ScanKind.NIFTI) -> Report:
    volume = Volume(mask.astype(np.uint8), np.eye(4))
    scan = Scan(volume, scan_kind)
    rules = LesionRules(is_picture=scan.is_picture)
    lesions, labels = find_lesions(volume, volume.array.astype(np.float32), rules)
    found = Segmentation(volume, volume, volume.with_array(labels), lesions, 0.5, coarsened=False)
    record = JobRecord(
        id=new_job_id(),
        created_at=datetime(2026, 2, 3, 4, 5, tzinfo=UTC),
        request=JobRequest(),
        model=ModelRef(name="attention_unet", version=1, digest="d" * 64),
        inputs=[InputFile(key="k", size_bytes=7, sha256="e" * 64)],
    )
    return build_report(
        record,
        AskedModel(card(limits=["It is for tests – and ≥ nothing else."]), "CPU"),
        scan,
        found,
        anatomy_of(scan),
    )


def balls(count: int) -> np.ndarray:
    mask = np.zeros((30 * count + 2, 30, 30))
    index = np.moveaxis(np.indices((30, 30, 30)), 0, -1) - 14.5
    for number in range(count):
        mask[30 * number : 30 * number + 30][np.linalg.norm(index, axis=-1) < 6 + number / 10] = 1
    return mask


@pytest.fixture
def pages(tmp_path: Path):
    """Write the document of a report; the words of each page."""

    def write(report: Report) -> list[str]:
        sheet = Image.new("RGB", (400, 300))
        sheet.save(tmp_path / "overlay.png")
        pictures = Pictures([Image.new("RGB", (90, 120))], tmp_path / "overlay.png")
        write_pdf(
            report, card(limits=["It is for tests – and ≥ nothing else."]), pictures, tmp_path / "report.pdf"
        )
        return words_of((tmp_path / "report.pdf").read_bytes())

    return write


def test_the_first_page_says_what_was_found_and_what_it_is_not_for(pages):
    report = report_of(balls(2))
    first = pages(report)[0]
    assert report.research_use in first
    assert f"2 lesions, {report.total_volume_mm3 / 1000:.2f} ml in all" in first
    assert f"sum of longest diameters {report.rano_bm.sum_of_longest_diameters_mm:.1f} mm" in first
    for lesion in report.lesions:
        assert f"{lesion.longest_diameter_mm:.1f} × {lesion.perpendicular_diameter_mm:.1f} mm" in first
    assert "2026-02-03 04:05 UTC" in first


def test_the_appendix_says_how_and_names_every_rule(pages):
    report = report_of(balls(1))
    rest = " ".join(pages(report)[1:])
    for rule in report.rano_bm.rules:
        assert rule.value in rest
    assert "It is for tests - and >= nothing else." in rest
    assert "d" * 64 in rest
    assert "e" * 64 in rest
    assert "Model server's device, as stated by its operator: CPU" in rest
    assert "Places in the head" in rest
    for reason in report.head.not_told:
        assert reason in rest


def test_the_files_of_a_series_are_told_as_one(pages):
    report = report_of(balls(1))
    digests = [f"{number:064x}" for number in range(155)]
    inputs = [InputDigest(size_bytes=9, sha256=one) for one in digests]
    origin = report.provenance.model_copy(update={"inputs": inputs})
    report = report.model_copy(update={"provenance": origin})
    note = json.loads(note_of(report))
    assert note["inputs"] == {"files": 155, "sha256_of_sha256": sha256_of_all(digests)}
    rest = " ".join(pages(report)[1:])
    assert "Input: 155 files" in rest
    assert sha256_of_all(digests) in rest
    assert digests[7] not in rest


def test_what_does_not_fit_on_the_first_page_stands_in_the_appendix(pages):
    texts = pages(report_of(balls(20)))
    assert "The other 6 lesions stand in the appendix." in texts[0]
    assert "Further lesions" in texts[1]


def test_more_lesions_than_anybody_reads_are_left_to_the_table(pages):
    mask = np.zeros((3 * 102, 3, 3))
    mask[::3, 1, 1] = 1
    texts = pages(report_of(mask))
    assert "The smallest 2 stand in lesions.csv alone." in " ".join(texts)


def test_a_scan_without_lesions_has_a_document_too(pages):
    assert "This does not mean that there is none." in pages(report_of(balls(0)))[0]


def test_what_has_changed_is_told_on_the_first_page_and_tabled_in_the_appendix(pages):
    texts = pages(report_of(balls(2)).model_copy(update={"follow_up": follow_up()}))
    assert "by RANO-BM: progressive disease. The rule: A lesion on 2 slices or more" in texts[0]
    rest = " ".join(texts[1:])
    for words in (f"Job {EARLIER_JOB}", "grown, target", "1500 mm³", "+50 %", "3.2 degrees"):
        assert words in rest


def test_a_picture_is_told_in_its_own_units_and_not_as_rano_bm(pages):
    mask = balls(1)[:, :, 14:15]
    first = pages(report_of(mask, ScanKind.PICTURE))[0]
    assert "mm²" in first
    assert "Nothing is measured as RANO-BM" in first


def test_letters_that_the_fonts_lack_are_replaced():
    assert latin("–≥×µ漢") == "->=×µ?"
