"""A DICOM series goes through a real job, and its results lie on its grid."""

import gzip
import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from child_processes import children_with
from dicom_series import SERIES_UID, classic, to_bytes, zipped
from pdf_words import words_of
from phantoms import affine_of, centred, head_with_ball
from pydicom import dcmread
from workplace import Workplace

from metseg.imaging.volume import Volume
from metseg.schemas.job import JobState
from metseg_worker.outputs.dicom import sandboxed
from metseg_worker.outputs.write import OBJECTS_TOO_LARGE
from metseg_worker.sandbox.parent import USUAL

SHAPE = (64, 56, 20)
PATIENT_ID = "ID-4711"
SECRETS = ("Muster", PATIENT_ID, "19450203", SERIES_UID)
BALL_MM = np.array((28.0, 12, 18))


def head() -> Volume:
    """Axial, with a bright ball to the right, in front and above of the middle."""
    affine = centred(affine_of(("L", "A", "S"), (3, 3.5, 6)), SHAPE, np.zeros(3))
    volume = head_with_ball(SHAPE, affine, BALL_MM, 20, 80)
    return volume.with_array(volume.array.astype(np.uint16))


def files() -> list[bytes]:
    return [to_bytes(image) for image in classic(head(), PatientID=PATIENT_ID)][::-1]


@pytest.mark.parametrize("sent", ["as files", "as a zip file"])
def test_the_mask_of_a_series_lies_on_its_grid_and_on_its_lesion(place: Workplace, sent: str):
    contents = files() if sent == "as files" else [zipped({str(n): one for n, one in enumerate(files())})]
    job_id = place.submit(*contents)
    final = place.attempt(job_id)
    assert final.state is JobState.SUCCEEDED, final.failure
    mask = nibabel.load(place.artefact(job_id, "mask.nii.gz"))
    np.testing.assert_allclose(mask.affine, head().affine, atol=1e-4)
    found, ball = np.asarray(mask.dataobj) > 0, head().array == 1000
    assert 2 * (found & ball).sum() / (found.sum() + ball.sum()) > 0.9
    assert (int(mask.header["sform_code"]), int(mask.header["qform_code"])) == (1, 1)
    report = json.loads(place.artefact(job_id, "report.json").read_text())
    assert report["source"]["kind"] == "dicom"
    assert report["source"]["orientation"] == ["L", "A", "S"]
    assert report["lesions"][0]["centroid_ras_mm"] == pytest.approx(BALL_MM, abs=1)
    assert len(report["provenance"]["inputs"]) == len(contents)


def test_the_scan_that_the_page_draws_is_the_series(place: Workplace):
    job_id = place.submit(*files())
    place.attempt(job_id)
    scan = nibabel.load(place.artefact(job_id, "scan.nii.gz"))
    np.testing.assert_array_equal(np.asarray(scan.dataobj), head().array)


def test_the_patient_stands_in_the_dicom_objects_of_the_series_asked_for_and_nowhere_else(
    place: Workplace, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG")
    other = [
        to_bytes(image)
        for image in classic(head(), PatientID=PATIENT_ID, SeriesInstanceUID="1.2.3", SeriesNumber=9)
    ]
    job_id = place.submit(*files(), *other, series_uid=SERIES_UID)
    final = place.attempt(job_id)
    assert final.state is JobState.SUCCEEDED, final.failure
    types = {artefact.name: artefact.media_type for artefact in final.artefacts}
    objects = [name for name, media_type in types.items() if media_type == "application/dicom"]
    assert sorted(objects) == ["rtstruct.dcm", "seg.dcm", "sr.dcm"]
    for name in objects:
        made = dcmread(place.artefact(job_id, name))
        assert (made.PatientName, made.PatientID, made.PatientBirthDate) == (
            "Muster^Erika",
            PATIENT_ID,
            "19450203",
        )
        assert made.StudyInstanceUID == f"{SERIES_UID}.8"
        assert b"1.2.3\0" not in place.artefact(job_id, name).read_bytes()
    for name in set(place.names(job_id)) - {"lease.json", "end.json", *objects}:
        content = place.artefact(job_id, name).read_bytes()
        held = nibabel.load(place.artefact(job_id, name)) if name.endswith(".nii.gz") else None
        content += held.header.binaryblock if held is not None else b""
        for secret in SECRETS:
            assert secret.encode() not in content, name
    assert not [secret for secret in SECRETS if secret in final.model_dump_json() + caplog.text]


def exam() -> list[bytes]:
    """The series, and another one that could be meant as well."""
    other = classic(head(), PatientID=PATIENT_ID, SeriesInstanceUID=f"{SERIES_UID}.2", SeriesNumber=9)
    return [*files(), *(to_bytes(image) for image in other)]


def test_a_job_that_cannot_choose_a_series_lists_them_for_its_sender_alone(
    place: Workplace, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG")
    job_id = place.submit(*exam())
    final = place.attempt(job_id)
    assert final.failure.code == "series_unclear"
    assert {one.uid: one.number for one in final.failure.series} == {SERIES_UID: 4, f"{SERIES_UID}.2": 9}
    assert not final.failure.of_previous
    assert not [secret for secret in SECRETS if secret in final.failure.message + caplog.text]


@pytest.mark.slow
def test_the_series_of_an_earlier_scan_is_chosen_apart_and_nobody_is_named_in_what_is_kept_of_it(place: Workplace):
    place.job_timeout_s = 240
    final = place.attempt(place.submit(*files(), previous_scan=exam()))
    assert (final.failure.code, final.failure.of_previous) == ("series_unclear", True)
    assert final.failure.message.startswith("The earlier scan: expected one T1 series")
    job_id = place.submit(*files(), previous_scan=exam(), previous_series_uid=f"{SERIES_UID}.2")
    final = place.attempt(job_id)
    assert final.state is JobState.SUCCEEDED, final.failure
    kept = sorted(one.name for one in final.artefacts if one.name.startswith("previous_"))
    assert kept == ["previous_lesions.nii.gz", "previous_report.json", "previous_scan.nii.gz"]
    for name in kept:
        content = place.artefact(job_id, name).read_bytes()
        content = gzip.decompress(content) if name.endswith(".gz") else content
        assert not [secret for secret in SECRETS if secret.encode() in content]
    source = dcmread(place.artefact(job_id, "sr.dcm"))
    [evidence] = source.CurrentRequestedProcedureEvidenceSequence
    assert f"{SERIES_UID}.2" not in {one.SeriesInstanceUID for one in evidence.ReferencedSeriesSequence}


def test_a_result_without_its_dicom_objects_is_a_result_and_says_so(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sandboxed, "USUAL", replace(USUAL, wall_s=0))
    job_id = place.submit(*files())
    final = place.attempt(job_id)
    assert final.state is JobState.SUCCEEDED, final.failure
    assert not [one.name for one in final.artefacts if one.name.endswith(".dcm")]
    report = json.loads(place.artefact(job_id, "report.json").read_text())
    assert len(report["lesions"]) == 1
    assert OBJECTS_TOO_LARGE in report["warnings"]


def test_the_process_that_writes_the_objects_loads_while_the_network_is_asked_and_ends_with_the_job(
    place: Workplace,
):
    seen = []
    place.serving.on_call = lambda: seen.extend(children_with(sandboxed.WRITER))
    final = place.attempt(place.submit(*files()))
    assert final.state is JobState.SUCCEEDED, final.failure
    assert seen
    assert not children_with(sandboxed.WRITER)


def test_a_series_that_names_no_contrast_agent_is_asked_about_in_report_and_document(place: Workplace):
    silent = {"SeriesDescription": "anat-T1w", "ContrastBolusAgent": ""}
    job_id = place.submit(*(to_bytes(image) for image in classic(head(), **silent)))
    final = place.attempt(job_id)
    assert final.state is JobState.SUCCEEDED, final.failure
    report = json.loads(place.artefact(job_id, "report.json").read_text())
    assert [one for one in report["warnings"] if one.startswith("The header names no contrast agent.")]
    assert "names no contrast agent" in " ".join(words_of(place.artefact(job_id, "report.pdf").read_bytes()))


def test_a_series_that_is_not_sound_fails_its_job_with_the_reason(place: Workplace):
    job_id = place.submit(*files()[:8], *files()[9:])
    final = place.attempt(job_id)
    assert (final.state, final.failure.code) == (JobState.FAILED, "series_gap")
    assert "1 of them did not come" in final.failure.message
