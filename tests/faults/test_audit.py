"""The audit and the watcher of the fault suite see what they are there for."""

from pathlib import Path

import pytest
from fault_audit import audit
from fault_load import Seen
from fault_stack import put_ended_job

from metseg.jobs.store import JobStore
from metseg.storage.open import open_blob_store


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(open_blob_store(str(tmp_path)))


def test_a_job_that_ended_once_is_in_order(store: JobStore, tmp_path: Path) -> None:
    job_id = put_ended_job(tmp_path, b"mask")[0]
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
    job_id = put_ended_job(tmp_path, b"mask")[0]
    store.blobs.delete(f"jobs/{job_id}/{path}" if path != "." else f"jobs/{job_id}")
    assert any(changed in wrong for wrong in audit(tmp_path, {job_id}).wrong)


@pytest.mark.parametrize("path", ["attempts/1/.x.part", "attempts/2/mask.png", "input/1", "tombstone.json/x"])
def test_what_has_no_owner_is_found(store: JobStore, tmp_path: Path, path: str) -> None:
    job_id = put_ended_job(tmp_path, b"mask")[0]
    stray = tmp_path / "jobs" / job_id / path
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"")
    assert any("no owner" in wrong for wrong in audit(tmp_path, {job_id}).wrong)


def test_every_file_of_an_upload_has_an_owner_and_one_more_has_not(store: JobStore, tmp_path: Path) -> None:
    job_id = put_ended_job(tmp_path, b"mask")[0]
    store.blobs.put(store.input_key(job_id, 1), b"scan")
    record = store.load(job_id)
    store.blobs.put(store.previous_key(job_id, 0), b"earlier scan")
    store.create(record.model_copy(update={"inputs": 2 * record.inputs, "previous_inputs": record.inputs}))
    assert audit(tmp_path, {job_id}).wrong == []
    store.blobs.put(store.input_key(job_id, 2), b"scan")
    assert any("no owner" in wrong for wrong in audit(tmp_path, {job_id}).wrong)


def test_a_job_that_nobody_accepted_is_found(store: JobStore, tmp_path: Path) -> None:
    put_ended_job(tmp_path, b"mask")
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
