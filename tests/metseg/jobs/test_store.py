import time
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from metseg.errors import JobGoneError, JobNotFoundError
from metseg.jobs.store import JobStore
from metseg.schemas.job import (
    InputFile,
    JobRecord,
    JobRequest,
    JobResult,
    JobState,
    ModelRef,
    is_job_id,
    new_job_id,
)
from metseg.storage.open import open_blob_store

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
JOB_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
def jobs(tmp_path):
    return JobStore(open_blob_store(str(tmp_path / "store")))


def created(jobs):
    job_id = new_job_id()
    jobs.blobs.put(jobs.input_key(job_id), b"scan")
    file = InputFile(key=jobs.input_key(job_id), size_bytes=4, sha256="0" * 64)
    model = ModelRef(name="attention_unet", version=1, digest="d")
    jobs.create(JobRecord(id=job_id, created_at=NOW, request=JobRequest(), model=model, inputs=[file]))
    return job_id


def final(job_id, state=JobState.SUCCEEDED):
    return JobResult(job_id=job_id, state=state, finished_at=NOW, attempt=1)


def test_job_ids_sort_by_the_time_they_were_made():
    ids = []
    for _ in range(5):
        ids.append(new_job_id())
        time.sleep(0.002)
    assert ids == sorted(ids)
    assert all(is_job_id(job_id) for job_id in ids)


@pytest.mark.parametrize("text", ["", "../../etc", "0" * 36, JOB_ID.replace("-7", "-4"), f"{JOB_ID}\n"])
def test_other_texts_are_no_job_ids(text):
    assert not is_job_id(text)


@pytest.mark.parametrize("fields", [{"threshold": 7}, {"threshold": 0}, {"spacing_mm": (0, 1)}, {"patient": "x"}])
def test_a_request_out_of_range_cannot_be_made(fields):
    with pytest.raises(ValidationError):
        JobRequest(**fields)


def test_a_job_is_read_as_it_was_written(jobs):
    job_id = created(jobs)
    record = jobs.load(job_id)
    assert (record.id, record.created_at, record.schema_version) == (job_id, NOW, 1)
    assert b'"2026-01-02T03:04:05Z"' in jobs.blobs.get(f"jobs/{job_id}/job.json")


def test_the_first_final_stands(jobs):
    job_id = created(jobs)
    assert jobs.final(job_id) is None
    assert jobs.finish(final(job_id))
    assert not jobs.finish(final(job_id, JobState.CANCELLED))
    assert jobs.final(job_id).state is JobState.SUCCEEDED


def test_an_attempt_is_claimed_once(jobs):
    job_id = created(jobs)
    assert jobs.latest_attempt(job_id) == 0
    assert jobs.claim(job_id, 1)
    assert not jobs.claim(job_id, 1)
    assert jobs.claim(job_id, 2)
    assert jobs.latest_attempt(job_id) == 2


def test_jobs_are_listed_newest_first_and_page_by_page(jobs):
    made = []
    for _ in range(5):
        made.append(created(jobs))
        time.sleep(0.002)
    jobs.blobs.put(f"jobs/{new_job_id()}/input/0", b"never accepted")
    assert jobs.ids() == made[::-1]
    first = jobs.ids(limit=2)
    assert first + jobs.ids(before=first[-1], limit=9) == made[::-1]


def test_an_erased_job_leaves_its_tombstone_alone(jobs):
    job_id = created(jobs)
    jobs.erase(job_id)
    assert jobs.blobs.names(f"jobs/{job_id}") == ["tombstone.json"]
    with pytest.raises(JobGoneError):
        jobs.load(job_id)
    assert jobs.ids() == []


def test_a_discarded_upload_leaves_nothing(jobs):
    job_id = new_job_id()
    jobs.blobs.put(jobs.input_key(job_id), b"scan")
    jobs.discard(job_id)
    assert jobs.blobs.names("jobs") == []


@pytest.mark.parametrize("job_id", ["../x", "", "not-a-job", JOB_ID])
def test_an_unknown_job_is_not_found(jobs, job_id):
    with pytest.raises(JobNotFoundError):
        jobs.load(job_id)


def test_an_artefact_is_stored_with_its_digest(jobs, tmp_path):
    job_id = created(jobs)
    (tmp_path / "mask.png").write_bytes(b"abc")
    artefact = jobs.put_artefact(job_id, 1, tmp_path / "mask.png", "image/png")
    assert artefact.sha256.startswith("ba7816bf")
    assert jobs.blobs.get(jobs.artefact_key(job_id, 1, "mask.png")) == b"abc"
