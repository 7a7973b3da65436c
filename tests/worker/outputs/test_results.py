"""What a job that succeeds leaves behind."""

import csv
import json

import nibabel
import numpy as np
import pytest
from hostile_files import nifti
from phantoms import card, png
from PIL import Image
from workplace import Workplace

from metseg.schemas.job import JobState
from metseg.schemas.report import RanoRule, Report
from metseg_worker.outputs.images_and_csv import COLUMNS
from metseg_worker.outputs.report import warnings_of

NIFTI_NAMES = {
    *("lesions.csv", "lesions.nii.gz", "mask.nii.gz", "overlay.png"),
    *("probability.nii.gz", "report.json", "report.pdf", "scan.nii.gz"),
}
PICTURE_NAMES = {
    *("lesions.csv", "mask.png", "overlay.png"),
    *("probability.png", "report.json", "report.pdf", "scan.png"),
}


def awkward_nifti() -> bytes:
    """Oblique, anisotropic, in metres, with both codes set and texts that must not travel."""
    array = np.zeros((40, 36, 12), np.int16)
    array[8:32, 8:28] = 100
    array[16:20, 14:18, 5:8] = 1000
    affine = np.array(((0, 4, 0.5, -60), (-3.5, 0, 0, 70), (0, -0.5, 5, -20), (0, 0, 0, 1))) / 1000
    affine[3, 3] = 1
    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, 3)
    image.set_qform(affine, 1, strip_shears=True)
    image.header.set_xyzt_units("meter", "sec")
    image.header["descrip"] = b"DOE^JANE 1970"
    image.header["aux_file"] = b"doe.aux"
    image.header["intent_name"] = b"doe"
    image.header["db_name"] = b"doe"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"DOE^JANE"))
    return image.to_bytes()


@pytest.fixture(scope="module")
def awkward_job(shared_place: Workplace) -> str:
    job_id = shared_place.submit(awkward_nifti())
    shared_place.attempt(job_id)
    return job_id


@pytest.fixture(scope="module")
def picture_job(shared_place: Workplace) -> str:
    job_id = shared_place.submit(png())
    shared_place.attempt(job_id)
    return job_id


def test_a_nifti_job_leaves_every_artefact_with_its_digest(place: Workplace):
    job_id = place.submit(nifti())
    final = place.attempt(job_id)
    assert final.state is JobState.SUCCEEDED
    assert final.attempt == 1
    assert final.started_at < final.finished_at
    assert {artefact.name for artefact in final.artefacts} == NIFTI_NAMES
    assert set(place.names(job_id)) == NIFTI_NAMES | {"lease.json", "end.json"}
    assert all(len(artefact.sha256) == 64 and artefact.size_bytes > 0 for artefact in final.artefacts)


@pytest.mark.parametrize("name", ["mask", "lesions", "probability", "scan"])
def test_results_have_the_grid_of_the_source_to_the_bit(shared_place: Workplace, awkward_job: str, name):
    source = nibabel.Nifti1Image.from_bytes(awkward_nifti())
    result = nibabel.load(shared_place.artefact(awkward_job, f"{name}.nii.gz"))
    assert result.shape == source.shape
    np.testing.assert_array_equal(result.affine, source.affine)
    for field in (
        "sform_code",
        "qform_code",
        "xyzt_units",
        "pixdim",
        "quatern_b",
        "qoffset_x",
        "srow_x",
        "srow_z",
    ):
        np.testing.assert_array_equal(result.header[field], source.header[field], err_msg=field)


@pytest.mark.parametrize("name", ["mask", "lesions", "probability", "scan"])
def test_no_text_of_the_source_travels_into_a_result(shared_place: Workplace, awkward_job: str, name):
    header = nibabel.load(shared_place.artefact(awkward_job, f"{name}.nii.gz")).header
    assert [b"DOE" in extension.content for extension in header.extensions] == [False]
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        assert header[field] == b"", field


def test_the_mask_marks_what_is_bright(shared_place: Workplace, awkward_job: str):
    mask = nibabel.load(shared_place.artefact(awkward_job, "mask.nii.gz")).get_fdata()
    assert set(np.unique(mask)) == {0, 1}
    found = np.argwhere(mask)
    np.testing.assert_allclose(found.mean(axis=0), (17.5, 15.5, 6), atol=0.6)


def test_a_picture_job_leaves_pictures_of_the_same_size(shared_place: Workplace, picture_job: str):
    final = shared_place.store.final(picture_job)
    assert {artefact.name for artefact in final.artefacts} == PICTURE_NAMES
    for name in ("mask.png", "probability.png", "scan.png"):
        with Image.open(shared_place.artefact(picture_job, name)) as image:
            assert image.size == (512, 512), name
    with Image.open(shared_place.artefact(picture_job, "mask.png")) as image:
        mask = np.asarray(image)
    assert set(np.unique(mask)) == {0, 255}
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((100, 129, 300, 339), abs=2)


def test_the_table_has_the_same_columns_for_every_input(shared_place: Workplace, awkward_job, picture_job):
    for job_id, filled, empty in (
        (awkward_job, "volume_mm3", "area_px"),
        (picture_job, "area_px", "volume_mm3"),
    ):
        with shared_place.artefact(job_id, "lesions.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert tuple(rows[0]) == COLUMNS
        assert float(rows[0][filled]) > 0
        assert rows[0][empty] == ""


def test_the_report_says_what_was_found_with_what(place: Workplace):
    job_id = place.submit(nifti(), threshold=0.3)
    place.attempt(job_id)
    report = Report.model_validate_json(place.artefact(job_id, "report.json").read_text())
    assert (report.job_id, report.lesion_count, report.threshold) == (job_id, 1, 0.3)
    assert report.model == place.store.load(job_id).model
    assert report.total_volume_mm3 == pytest.approx(report.lesions[0].volume_mm3)
    assert report.source.spacing_mm == pytest.approx((4, 4, 4))
    assert report.created_at == place.store.load(job_id).created_at
    assert {"metseg", "numpy", "python"} <= report.software.keys()
    assert any("small lesions may be missed" in warning for warning in report.warnings)


def test_report_and_table_agree_on_what_rano_bm_says(place: Workplace):
    job_id = place.submit(nifti())
    place.attempt(job_id)
    report = Report.model_validate_json(place.artefact(job_id, "report.json").read_text())
    with place.artefact(job_id, "lesions.csv").open(newline="") as file:
        told = [(row["label"], row["rano_bm_target"], row["rano_bm_decided_by"]) for row in csv.DictReader(file)]
    verdicts = report.rano_bm.lesions
    assert told == [(str(one.label), str(one.target).lower(), one.decided_by) for one in verdicts]
    assert len(told) == report.lesion_count > 0


def test_nothing_of_thick_slices_or_of_a_picture_is_measured_as_rano_bm(
    shared_place: Workplace, awkward_job: str, picture_job: str
):
    for job_id, rule in ((awkward_job, RanoRule.SPACING), (picture_job, RanoRule.VOLUME)):
        report = Report.model_validate_json(shared_place.artefact(job_id, "report.json").read_text())
        assert (report.rano_bm.applies, report.rano_bm.decided_by) == (False, rule)
        assert report.rano_bm.lesions == []
        assert report.lesions


def test_the_report_says_which_disease_the_model_knows(shared_place: Workplace, picture_job: str):
    report = Report.model_validate_json(shared_place.artefact(picture_job, "report.json").read_text())
    assert report.disease_notice == "Trained on: the disease is not stated."
    assert report.warnings[0].startswith(report.disease_notice)


@pytest.mark.parametrize(("disease", "warned"), [("glioma", True), ("metastasis", False)])
def test_a_model_that_knows_no_metastases_is_warned_of(disease: str, warned: bool):
    data = {"name": "x", "licence": "x", "attribution": "x", "cases": 1, "disease": disease}
    warnings = warnings_of(card(training_data=[data]))
    assert bool(warnings) is warned
    assert not warned or "Trained on: glioma (not metastases)." in warnings[0]


def test_a_picture_of_unknown_spacing_has_no_millimetres(shared_place: Workplace, picture_job: str):
    report = Report.model_validate_json(shared_place.artefact(picture_job, "report.json").read_text())
    assert report.source.spacing_mm is None
    assert report.total_volume_mm3 is None
    assert report.lesions[0].longest_diameter_mm is None
    assert report.lesions[0].longest_diameter_px > 40
    assert any("in pixels" in warning for warning in report.warnings)


def test_the_spacing_of_a_picture_that_came_with_the_job_is_used(place: Workplace):
    job_id = place.submit(png(), spacing_mm=(0.5, 0.5))
    place.attempt(job_id)
    report = Report.model_validate_json(place.artefact(job_id, "report.json").read_text())
    assert report.lesions[0].longest_diameter_mm == pytest.approx(25, rel=0.1)


def test_a_scan_without_lesions_succeeds_with_none(place: Workplace):
    array = np.zeros((32, 32, 8), np.int16)
    array[8:24, 8:24] = np.arange(16)[:, None]
    place.serving.lesion_from = 256
    job_id = place.submit(nifti(array), threshold=0.9)
    final = place.attempt(job_id)
    assert final.state is JobState.SUCCEEDED
    report = json.loads(place.artefact(job_id, "report.json").read_text())
    assert (report["lesion_count"], report["total_volume_mm3"]) == (0, 0)
    assert place.artefact(job_id, "lesions.csv").read_text().count("\n") == 1
