"""DICOM series and earlier scans through page and command, the running services and the trained network."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_series import CONTRAST, classic, to_bytes, write, zipped
from live_stack import LiveStack
from page import MetsegPage, chromium, visiting
from playwright.sync_api import Browser
from pydicom import dcmread

from deploy.local.settings import ROOT
from metseg.imaging.nifti import write_nifti
from metseg.imaging.volume import Volume
from metseg.schemas.report import Report

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(900)]

DEMO = ROOT / "samples" / "phantom_demo.nii.gz"
OTHER_UID = "1.2.826.0.1.3680043.8.498.11"
OBJECTS = {
    "Segmentation (DICOM SEG)": "SEG",
    "Measurements (DICOM SR)": "SR",
    "Outlines (DICOM RTSTRUCT)": "RTSTRUCT",
}


@pytest.fixture(scope="module")
def phantom() -> Volume:
    """Slices of the sample with four lesions, as the reader of DICOM lays them; more would only take longer."""
    image = nib.load(DEMO).slicer[:, :, 16:40]
    turned = image.as_reoriented(nib.orientations.ornt_transform(
        nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt("LAS")
    ))  # fmt: skip
    return Volume(np.ascontiguousarray(np.asarray(turned.dataobj).astype(np.uint16)), turned.affine)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, stack: LiveStack) -> Iterator[MetsegPage]:
    with visiting(stack.page_url, browser) as page:
        page.open()
        yield page
        assert page.strange_requests == []
        assert page.console_errors == []


def archived(files: list[Path], path: Path) -> Path:
    path.write_bytes(zipped({file.name: file.read_bytes() for file in files}))
    return path


@pytest.mark.browser
def test_a_series_is_dropped_shown_and_its_objects_are_taken_home(
    visit: MetsegPage, phantom: Volume, tmp_path: Path
) -> None:
    visit.upload(*write(classic(phantom), tmp_path / "series"))
    visit.wait_done(400)
    assert len(visit.lesion_rows()) >= 2
    assert "lesion" in visit.slice_text
    mask = nib.load(visit.download("Mask (NIfTI)", tmp_path))
    np.testing.assert_allclose(mask.affine, phantom.affine, atol=1e-3)
    for label, modality in OBJECTS.items():
        made = dcmread(visit.download(label, tmp_path))
        assert (made.Modality, made.PatientID) == (modality, "4711")


@pytest.mark.browser
@pytest.mark.parametrize("sent", ["as files", "as a zip file"])
def test_a_real_series_is_dropped_and_shown(
    visit: MetsegPage, real_images: Path, tmp_path: Path, sent: str
) -> None:
    files = sorted((real_images / "dicom_t1_head").iterdir())
    visit.upload(*files if sent == "as files" else [archived(files, tmp_path / "series.zip")])
    visit.wait_done(400)
    assert len(files) in nib.load(visit.download("Mask (NIfTI)", tmp_path)).shape
    assert dcmread(visit.download("Measurements (DICOM SR)", tmp_path)).Modality == "SR"


@pytest.mark.browser
def test_the_page_asks_which_of_two_series_is_meant_and_sends_the_files_again(
    visit: MetsegPage, phantom: Volume, tmp_path: Path
) -> None:
    dark = phantom.with_array(np.where(phantom.array > 0, phantom.array // 2, 0).astype(np.uint16))
    other = classic(dark, SeriesInstanceUID=OTHER_UID, SeriesNumber=9, **CONTRAST)
    for number, image in enumerate(other):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{OTHER_UID}.{number}"
    entries = [to_bytes(image) for image in (*classic(phantom), *other)]
    path = tmp_path / "exam.zip"
    path.write_bytes(zipped({str(number): entry for number, entry in enumerate(entries)}))
    first = visit.upload(path)
    visit.browser_page.get_by_text("Series 9: T1 with contrast agent, 24 images").click(timeout=200_000)
    visit.settle()
    visit.button("Segment this series").click()
    visit.browser_page.wait_for_url(lambda url: first not in url)
    visit.browser_page.locator(".st-key-series-choice").wait_for(state="detached", timeout=60_000)
    visit.wait_done(400)
    source = dcmread(visit.download("Measurements (DICOM SR)", tmp_path))
    [evidence] = source.CurrentRequestedProcedureEvidenceSequence
    assert OTHER_UID in {one.SeriesInstanceUID for one in evidence.ReferencedSeriesSequence}


@pytest.mark.browser
def test_an_earlier_scan_that_is_dropped_beside_the_new_one_is_compared_with(
    visit: MetsegPage, phantom: Volume, tmp_path: Path
) -> None:
    now = tmp_path / "now.nii.gz"
    write_nifti(now, phantom)
    then = archived(write(classic(phantom), tmp_path / "series"), tmp_path / "then.zip")
    visit.choose(now)
    visit.choose_earlier(then)
    visit.send()
    visit.wait_done(400)
    assert "Since the earlier scans" in visit.text()
    assert "The uploaded prior: " in visit.text()
    assert "stable disease" in visit.text()
    kept = nib.load(visit.download("Earlier scan: image (NIfTI)", tmp_path))
    np.testing.assert_array_equal(np.asarray(kept.dataobj), phantom.array)


def test_an_earlier_scan_is_sent_along_and_compared_with_by_the_command(
    stack: LiveStack, phantom: Volume, tmp_path: Path
) -> None:
    now, out = tmp_path / "now.nii.gz", tmp_path / "out"
    write_nifti(now, phantom)
    then = archived(write(classic(phantom), tmp_path / "series"), tmp_path / "then.zip")
    command = [sys.executable, "-m", "metseg_client", "--api", stack.api_url, "segment", str(now)]
    options = ["--out", str(out), "--previous-scan", str(then)]
    ran = subprocess.run([*command, *options], capture_output=True, text=True, timeout=400, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "earlier scan: " in ran.stderr
    report = Report.model_validate_json((out / "report.json").read_bytes())
    assert report.follow_up is not None
    [comparison] = report.follow_up.comparisons
    assert comparison.came_along
    assert {change.kind.value for change in comparison.changes} == {"stable"}
    kept = Report.model_validate_json((out / "previous_report.json").read_bytes())
    assert (kept.source.kind, kept.lesion_count) == ("dicom", report.lesion_count)
    assert (out / "previous_lesions.nii.gz").is_file()
