"""A job for the ensemble: real SavedModels behind metseg-serving, each of which sees the same scan."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import nibabel
import numpy as np
import pydicom
import pytest
from dicom_series import CONTRAST, classic, to_bytes
from nibabel import Nifti1Image
from pdf_words import words_of
from phantoms import affine_of, card, centred, head_with_ball
from standin import Standin, save_model
from workplace import Workplace

from metseg.models.ensemble import ensemble_ref, version_of
from metseg.models.library import ModelLibrary
from metseg.schemas.job import JobResult, JobState, ModelVersion, new_job_id
from metseg.schemas.model_card import CARD_PATH
from metseg.schemas.report import Report

pytestmark = pytest.mark.slow

SCALES = {"attention_unet": 1.0, "inception_v3_segmenter": 0.7, "unet_plus_plus": 0.85}
"""What each network makes of white."""


@pytest.fixture(scope="module")
def trio(shared_place: Workplace) -> Iterator[Workplace]:
    """A workplace whose model server is metseg-serving, with three models."""
    models = shared_place.folder / "models"
    (models / "attention_unet" / "1" / CARD_PATH).unlink()
    (models / "attention_unet" / "1" / CARD_PATH.parent).rmdir()
    (models / "attention_unet" / "1").rmdir()
    for number, (name, scale) in enumerate(SCALES.items()):
        folder = save_model(models / name / "1", scale=scale)
        (folder / CARD_PATH.parent).mkdir(exist_ok=True)
        card(name=name, threshold=0.4 + number / 10, weights_sha256=f"{number:064x}").write(folder / CARD_PATH)
    bright = shared_place.serving
    with Standin(models, shared_place.folder / "standin.log") as standin:
        shared_place.serving = standin.wait_until_ready()
        yield shared_place
    shared_place.serving = bright


def members(place: Workplace) -> list[ModelVersion]:
    library = ModelLibrary(place.folder / "models")
    return [version_of(library.card(name)) for name in library.names()]


def done(place: Workplace, asked: list[ModelVersion], *contents: bytes, **request: object) -> JobResult:
    """Submit a job for these members, and do it."""
    record = place.store.load(place.submit(*contents, **request))
    record = record.model_copy(update={"id": new_job_id(), "model": ensemble_ref(asked)})
    place.store.create(record)
    return place.attempt(record.id)


def head() -> Nifti1Image:
    shape = (60, 60, 20)
    affine = centred(affine_of(("L", "P", "S"), (3.0, 3.0, 6.0)), shape, np.zeros(3))
    volume = head_with_ball(shape, affine, np.array([20.0, 10, 5]), 15, 70)
    return Nifti1Image(volume.array, volume.affine)


@pytest.fixture(scope="module")
def result(trio: Workplace) -> JobResult:
    final = done(trio, members(trio), head().to_bytes())
    assert final.state is JobState.SUCCEEDED, final.failure
    return final


def report_of(place: Workplace, final: JobResult) -> Report:
    return Report.model_validate_json(place.artefact(final.job_id, "report.json").read_bytes())


def test_the_mean_of_all_networks_is_thresholded_by_the_mean_of_their_thresholds(
    trio: Workplace, result: JobResult
):
    report = report_of(trio, result)
    assert report.threshold == 0.5
    [lesion] = report.lesions
    expected = np.mean(list(SCALES.values()))
    assert lesion.max_probability == pytest.approx(expected, abs=1e-3)
    assert lesion.member_probabilities == pytest.approx(
        [lesion.mean_probability * scale / expected for scale in SCALES.values()], abs=1e-3
    )
    assert lesion.disagreement == pytest.approx(lesion.mean_probability * 0.3 / expected, abs=1e-3)


def test_every_member_is_named_where_the_result_comes_from(trio: Workplace, result: JobResult):
    report, asked = report_of(trio, result), members(trio)
    assert report.model == ensemble_ref(asked)
    assert list(report.model.members) == asked
    assert [one.weights_sha256 for one in report.provenance.members] == [f"{number:064x}" for number in range(3)]
    [extension] = nibabel.load(trio.artefact(result.job_id, "mask.nii.gz")).header.extensions
    note = json.loads(extension.content.rstrip(b"\0"))
    assert [one["digest"] for one in note["model"]["members"]] == [one.digest for one in asked]
    assert len(note["members"]) == 3


def test_table_and_document_tell_the_disagreement(trio: Workplace, result: JobResult):
    [lesion] = report_of(trio, result).lesions
    with trio.artefact(result.job_id, "lesions.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert row["disagreement"] == f"{lesion.disagreement:.4f}"
    first, appendix, *_ = words_of(trio.artefact(result.job_id, "report.pdf").read_bytes())
    assert "mean of attention_unet 1, inception_v3_segmenter 1, unet_plus_plus 1" in first
    assert "Spread" in first
    assert f"{lesion.disagreement:.2f}" in first
    assert all(one.digest in appendix for one in members(trio))


def test_the_objects_of_a_dicom_series_name_every_member(trio: Workplace):
    shape = (64, 56, 12)
    affine = centred(affine_of(("L", "A", "S"), (3, 3.5, 6)), shape, np.zeros(3))
    volume = head_with_ball(shape, affine, np.array((28.0, 12, 6)), 20, 80)
    images = classic(volume.with_array(volume.array.astype(np.uint16)), **CONTRAST)
    final = done(trio, members(trio), *(to_bytes(image) for image in images))
    assert final.state is JobState.SUCCEEDED, final.failure
    for name in ("seg.dcm", "sr.dcm"):
        told = pydicom.dcmread(trio.artefact(final.job_id, name), stop_before_pixels=True).to_json()
        assert all(one.digest in told for one in members(trio)), name


def test_a_replay_asks_all_members_again(trio: Workplace, result: JobResult):
    environment = {**os.environ, **trio.environment(), "METSEG_SERVING_DEVICE": "a test"}
    command = [sys.executable, "-m", "metseg_worker", "replay", result.job_id]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stdout + told.stderr


def test_a_threshold_of_ones_own_counts_for_the_mean(trio: Workplace):
    assert report_of(trio, done(trio, members(trio), head().to_bytes(), threshold=0.9)).lesions == []


@pytest.mark.parametrize(
    ("changes", "code"), [({"version": 7}, "model_unknown"), ({"digest": "0" * 64}, "card_invalid")]
)
def test_a_member_that_is_gone_or_another_fails_the_job_as_a_missing_model_does(
    trio: Workplace, changes: dict[str, object], code: str
):
    first, *others = members(trio)
    final = done(trio, [first.model_copy(update=changes), *others], head().to_bytes())
    assert (final.state, final.failure.code) == (JobState.FAILED, code)
