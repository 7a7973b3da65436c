"""A scan that is compared with earlier ones: the table, the response, and what stops it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from heads import Ball, head, motion
from hostile_files import nifti
from phantoms import png
from workplace import Workplace

from metseg.imaging.nifti import write_nifti
from metseg.queue.dispatcher import Dispatcher
from metseg.schemas.job import JobResult, JobState, Progress, Stage
from metseg.schemas.report import Report

POSE = motion(10, (1, 1, 2), (8, -9, 10))
THEN: list[Ball] = [((30, 30, 15), 8), ((-30, -30, 0), 6), ((30, -35, 10), 7)]
NOW: list[Ball] = [((30, 30, 15), 11), ((-30, 25, 5), 6), ((30, -35, 10), 7)]


def sent(place: Workplace, balls: list[Ball], spacing=(2.0, 2.0, 2.0), pose=None, **request: object) -> str:
    path = place.folder / "sent.nii.gz"
    write_nifti(path, head(spacing, balls, pose=pose, seed=len(balls)))
    return place.submit(path.read_bytes(), **request)


def ended(place: Workplace, job_id: str) -> JobResult:
    final = place.attempt(job_id)
    assert final is not None
    return final


@pytest.mark.slow
def test_a_head_that_was_turned_and_scanned_anew_is_compared_and_the_same_to_the_byte_again(place: Workplace):
    place.serving.lesion_from, place.job_timeout_s = 120, 240
    earlier = sent(place, THEN, (1.5, 1.5, 3.0), POSE)
    assert ended(place, earlier).state is JobState.SUCCEEDED
    job_id = sent(place, NOW, previous=[earlier])
    final = ended(place, job_id)
    assert final.failure is None
    report = Report.model_validate_json(place.artefact(job_id, "report.json").read_bytes())
    assert report.follow_up is not None
    [comparison] = report.follow_up.comparisons
    assert comparison.alignment.rotation_degrees == pytest.approx(10, abs=0.5)
    changes = {change.kind.value: change for change in comparison.changes}
    assert sorted(changes) == ["gone", "grown", "new", "stable"]
    assert changes["grown"].volume_change_percent == pytest.approx(100 * (11**3 / 8**3 - 1), rel=0.15)
    assert changes["grown"].target
    verdict = report.follow_up.verdict
    assert (verdict.response.value, verdict.decided_by.value) == (
        "progressive_disease",
        "new_lesion_on_two_slices",
    )
    assert verdict.baseline_sum_mm == pytest.approx(16 + 12 + 14, rel=0.1)
    with place.artefact(job_id, "follow_up.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == [change.kind.value for change in comparison.changes]
    assert {row["previous_job"] for row in rows} == {earlier}
    assert json.loads(rows[0]["made_by"])["job"] == job_id
    environment = place.environment() | {"METSEG_SERVING_DEVICE": "a test"}
    command = [sys.executable, "-m", "metseg_worker", "replay", job_id]
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert again.returncode == 0, again.stdout + again.stderr
    assert os.listdir(place.folder / "scratch") == []


def head_file(place: Workplace, balls: list[Ball], spacing=(2.0, 2.0, 2.0), pose=None) -> bytes:
    path = place.folder / "head.nii.gz"
    write_nifti(path, head(spacing, balls, pose=pose, seed=len(balls)))
    return path.read_bytes()


@pytest.mark.slow
def test_an_earlier_scan_that_came_along_gives_what_an_earlier_job_of_it_gives(place: Workplace):
    place.serving.lesion_from, place.job_timeout_s = 120, 240
    then, now = head_file(place, THEN, (1.5, 1.5, 4.0), POSE), head_file(place, NOW)
    earlier = place.submit(then)
    assert ended(place, earlier).state is JobState.SUCCEEDED
    by_job, along = place.submit(now, previous=[earlier]), place.submit(now, previous_scan=[then])
    reports = {}
    for job_id in (by_job, along):
        final = ended(place, job_id)
        assert final.failure is None
        reports[job_id] = Report.model_validate_json(place.artefact(job_id, "report.json").read_bytes())
    compared, itself = reports[by_job].follow_up, reports[along].follow_up
    assert compared is not None
    assert itself is not None
    [comparison] = itself.comparisons
    assert comparison.came_along
    assert comparison.job_id == itself.verdict.nadir_job_id == along
    same = comparison.model_copy(update={"job_id": earlier, "came_along": False})
    assert [same] == compared.comparisons
    assert itself.verdict.model_copy(update={"nadir_job_id": earlier}) == compared.verdict
    assert reports[along].lesions == reports[by_job].lesions
    [thick] = [warning for warning in reports[along].warnings if warning not in reports[by_job].warnings]
    assert thick.startswith("The earlier scan: Voxels are 4.0 mm long")
    record = place.store.load(along)
    provenance = reports[along].provenance
    assert provenance is not None
    assert provenance.previous_inputs is not None
    assert [one.sha256 for one in provenance.previous_inputs] == [one.sha256 for one in record.previous_inputs]
    assert [one.sha256 for one in provenance.inputs] == [one.sha256 for one in record.inputs]
    _check_kept(place, along, earlier)
    environment = place.environment() | {"METSEG_SERVING_DEVICE": "a test"}
    command = [sys.executable, "-m", "metseg_worker", "replay", along]
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "same    previous_report.json" in again.stdout


def _check_kept(place: Workplace, along: str, earlier: str) -> None:
    """What is kept of the earlier scan is what its own job would have made of it."""
    for name in ("scan.nii.gz", "lesions.nii.gz"):
        kept, made = (nib.load(place.artefact(*one)) for one in ((along, f"previous_{name}"), (earlier, name)))
        np.testing.assert_array_equal(kept.dataobj, made.dataobj)
        np.testing.assert_array_equal(kept.affine, made.affine)
    names = (along, "previous_report.json"), (earlier, "report.json")
    kept, made = (Report.model_validate_json(place.artefact(*one).read_bytes()) for one in names)
    by_job = {"job_id": earlier, "created_at": made.created_at}
    assert kept.model_copy(update=by_job) == made


def test_the_progress_goes_through_the_stages_of_both_scans_and_never_back(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
):
    seen: list[Progress] = []
    monkeypatch.setattr(Dispatcher, "write_progress", lambda _self, _job_id, progress: seen.append(progress))
    place.attempt(place.submit(nifti(), previous_scan=[nifti()]))
    stages = list(dict.fromkeys((one.scan, one.stage) for one in seen))
    assert stages == [(scan, stage) for scan in (1, 2) for stage in Stage]
    assert {one.scans for one in seen} == {2}
    fractions = [one.fraction for one in seen]
    assert fractions == sorted(fractions)
    assert next(one.fraction for one in seen if one.scan == 2) == 0.5


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"no scan", "input_format_unknown", "The earlier scan: "),
        (nifti()[:-20], "input_damaged", "The earlier scan: "),
        (png(), "previous_not_volume", "Expected an earlier scan that is a volume"),
    ],
)
def test_an_earlier_scan_that_cannot_be_used_fails_the_job_and_is_named(
    place: Workplace, content: bytes, code: str, said: str
):
    job_id = place.submit(nifti(), previous_scan=[content])
    assert failed(place, job_id).startswith(f"{code}: {said}")
    final = place.store.final(job_id)
    assert final is not None
    assert final.failure is not None
    assert final.failure.of_previous is (code != "previous_not_volume")
    assert final.artefacts == []


def failed(place: Workplace, job_id: str) -> str:
    final = ended(place, job_id)
    assert final.state is JobState.FAILED
    assert final.failure is not None
    return f"{final.failure.code}: {final.failure.message}"


def test_an_earlier_job_that_was_deleted_meanwhile_fails_the_job_before_it_is_read(place: Workplace):
    earlier = place.submit(nifti())
    ended(place, earlier)
    job_id = place.submit(nifti(), previous=[earlier])
    place.store.erase(earlier)
    before = place.serving.calls
    assert failed(place, job_id) == (
        f"previous_gone: The earlier job {earlier} was deleted or has expired, so nothing can be compared."
    )
    assert place.serving.calls == before


def test_a_picture_is_not_compared_with_a_volume(place: Workplace):
    earlier = place.submit(nifti())
    ended(place, earlier)
    assert failed(place, place.submit(png(), previous=[earlier])).startswith(
        "previous_not_volume: Expected a volume"
    )


@pytest.mark.slow
def test_a_scan_of_something_else_is_refused_and_no_table_is_made(place: Workplace):
    place.job_timeout_s = 240
    noise = np.random.default_rng(0).integers(0, 200, (40, 40, 40)).astype(np.int16)
    path = place.folder / "noise.nii.gz"
    nib.save(nib.Nifti1Image(noise, np.diag([4.0, 4.0, 4.0, 1.0])), path)
    earlier = place.submit(path.read_bytes())
    ended(place, earlier)
    job_id = sent(place, NOW, (4.0, 4.0, 4.0), previous=[earlier])
    assert failed(place, job_id).startswith(
        "registration_failed: The earlier scan could not be registered to this one"
    )


def test_an_artefact_that_was_changed_in_the_store_is_not_compared_with(place: Workplace):
    earlier = place.submit(nifti())
    ended(place, earlier)
    stored = Path(place.folder / "store" / place.store.artefact_key(earlier, 1, "lesions.nii.gz"))
    stored.write_bytes(stored.read_bytes() + b"\0")
    assert failed(place, place.submit(nifti(), previous=[earlier])).startswith("store_failed: The stored lesions")
