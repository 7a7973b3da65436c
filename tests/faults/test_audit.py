"""The audit and the watcher of the fault suite see what they are there for."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from fault_audit import audit
from fault_load import Seen

from metseg.blobs import open_blob_store
from metseg.jobs import Final, InputFile, JobRecord, JobRequest, JobState, ModelRef, new_job_id
from metseg.jobstore import JobStore


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(open_blob_store(str(tmp_path)))


def ended_job(store: JobStore, tmp_path: Path) -> str:
    """A job whose first attempt has succeeded with one artefact."""
    job_id = new_job_id()
    key = store.input_key(job_id)
    store.blobs.put(key, b"scan")
    given = InputFile(key=key, size_bytes=4, sha256="s")
    model = ModelRef(name="attention_unet", version=1, digest="d")
    now = datetime.now(UTC)
    store.create(JobRecord(id=job_id, created_at=now, request=JobRequest(), model=model, inputs=[given]))
    store.claim(job_id, 1)
    mask = tmp_path / "mask.png"
    mask.write_bytes(b"mask")
    made = [store.put_artefact(job_id, 1, mask, "image/png")]
    mask.unlink()
    final = Final(job_id=job_id, state=JobState.SUCCEEDED, attempt=1, finished_at=now, artefacts=made)
    assert store.publish(final, 1)
    return job_id


def test_a_job_that_ended_once_is_in_order(store: JobStore, tmp_path: Path) -> None:
    job_id = ended_job(store, tmp_path)
    found = audit(tmp_path, {job_id})
    assert found.wrong == []
    assert (found.accepted, found.ends, found.attempts) == (1, {"succeeded": 1}, 1)


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ("has not ended", "final.json"),
        ("accepted, but not in the store", "."),
        ("the result is of no attempt that published", "attempts/1/end.json"),
        ("mask.png is missing", "attempts/1/mask.png"),
    ],
)
def test_what_is_missing_is_found(store: JobStore, tmp_path: Path, changed: str, path: str) -> None:
    job_id = ended_job(store, tmp_path)
    store.blobs.delete(f"jobs/{job_id}/{path}" if path != "." else f"jobs/{job_id}")
    assert any(changed in wrong for wrong in audit(tmp_path, {job_id}).wrong)


@pytest.mark.parametrize("path", ["attempts/1/.x.part", "attempts/2/mask.png", "input/1", "tombstone.json/x"])
def test_what_has_no_owner_is_found(store: JobStore, tmp_path: Path, path: str) -> None:
    job_id = ended_job(store, tmp_path)
    stray = tmp_path / "jobs" / job_id / path
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"")
    assert any("no owner" in wrong for wrong in audit(tmp_path, {job_id}).wrong)


def test_a_job_that_nobody_accepted_is_found(store: JobStore, tmp_path: Path) -> None:
    ended_job(store, tmp_path)
    assert any("never accepted" in wrong for wrong in audit(tmp_path, set()).wrong)


@pytest.mark.parametrize(
    ("first", "second", "backwards"),
    [
        (("queued", 0), ("running", 1), False),
        (("running", 1), ("running", 2), False),
        (("running", 1), ("queued", 1), True),
        (("running", 2), ("running", 1), True),
        (("succeeded", 1), ("failed", 1), True),
    ],
)
def test_a_state_that_moves_backwards_is_seen(first: tuple, second: tuple, backwards: bool) -> None:
    answers = [{"state": state, "attempt": attempt} for state, attempt in (first, second)]
    assert Seen(answers).moved_backwards() is backwards
