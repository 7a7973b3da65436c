"""A store written by version 0.1: a succeeded job, and a queued one with the same scan.

`data/store_0_1.tar.xz` holds it without the PDF and the overlay. The scan is made by a program, not of a patient.
"""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from workplace import Workplace

from metseg.imaging.limits import DEFAULT_LIMITS
from metseg.imaging.nifti import read_nifti
from metseg.jobs.previous import comparable
from metseg.schemas.job import JobState
from metseg.schemas.report import Report

STORE = Path(__file__).parent / "data" / "store_0_1.tar.xz"


@pytest.fixture
def jobs_of_0_1(place: Workplace) -> tuple[str, str]:
    """The ids of the succeeded and of the queued job, unpacked into the store."""
    with tarfile.open(STORE) as archive:
        archive.extractall(place.folder / "store", filter="data")
    succeeded, queued = sorted(place.store.blobs.names("jobs"))
    return succeeded, queued


def test_records_and_results_are_read(place: Workplace, jobs_of_0_1: tuple[str, str]) -> None:
    succeeded, queued = jobs_of_0_1
    assert place.store.load(succeeded).model == place.store.load(queued).model
    result = place.store.final(succeeded)
    assert result is not None
    assert result.state is JobState.SUCCEEDED
    assert place.store.final(queued) is None
    assert comparable(place.store, succeeded) == result
    report = Report.model_validate_json(place.artefact(succeeded, "report.json").read_bytes())
    assert report.lesion_count == 1


def test_a_queued_job_runs_and_finds_the_same(place: Workplace, jobs_of_0_1: tuple[str, str]) -> None:
    succeeded, queued = jobs_of_0_1
    result = place.attempt(queued)
    assert result is not None
    assert result.state is JobState.SUCCEEDED, result.failure
    for name in ("mask.nii.gz", "lesions.nii.gz", "probability.nii.gz", "scan.nii.gz"):
        old, new = (read_nifti(place.artefact(job_id, name), DEFAULT_LIMITS)[0] for job_id in (succeeded, queued))
        np.testing.assert_array_equal(old.array, new.array)
        np.testing.assert_array_equal(old.affine, new.affine)
    rows = [place.artefact(job_id, "lesions.csv").read_text().splitlines()[1:] for job_id in jobs_of_0_1]
    before, now = ([row.partition(',"{')[0] for row in one] for one in rows)  # the last column is provenance
    assert before == now


def test_a_result_is_a_prior_of_a_new_job(place: Workplace, jobs_of_0_1: tuple[str, str]) -> None:
    succeeded, _ = jobs_of_0_1
    scan = (place.folder / "store" / "jobs" / succeeded / "input" / "0").read_bytes()
    result = place.attempt(new := place.submit(scan, previous=[succeeded]))
    assert result is not None
    assert result.state is JobState.SUCCEEDED, result.failure
    report = Report.model_validate_json(place.artefact(new, "report.json").read_bytes())
    assert report.follow_up is not None
    assert [comparison.job_id for comparison in report.follow_up.comparisons] == [succeeded]
