"""What has had its time, or no owner, goes: results, tombstones, half uploads."""

from datetime import UTC, datetime

import pytest
from keeping import UNHELD_S, Keep, keep, server

from metseg.errors import JobGoneError, StoreUnavailableError
from metseg.queue.heartbeats import UPLOAD
from metseg.schemas.job import JobRecord, JobRequest, JobResult, JobState, ModelRef, new_job_id

__all__ = ["keep", "server"]  # fixtures


def test_an_ended_job_expires_and_leaves_a_tombstone(keep: Keep) -> None:
    old, young = keep.accept(kept_s=60), keep.accept(kept_s=60)
    keep.end(old, ended_ago_s=61)
    keep.end(young, ended_ago_s=10)
    for _ in range(2):
        keep.take()
    keep.look_until(lambda: keep.files(old) == ["tombstone.json"])
    keep.look_for(2 * UNHELD_S)
    assert keep.store.final(young) is not None
    with pytest.raises(JobGoneError):
        keep.store.load(old)
    assert keep.redis.smembers("metseg:watched") == set()


def test_a_job_that_waits_in_vain_expires(keep: Keep) -> None:
    job_id = keep.accept(kept_s=0.2)
    keep.look_until(lambda: keep.files(job_id) == ["tombstone.json"])
    keep.take()
    keep.look_until(lambda: job_id not in keep.holders.unheld([]))
    assert keep.files(job_id) == ["tombstone.json"]


def test_a_tombstone_goes_in_the_end(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = keep.accept()
    keep.store.erase(job_id)
    monkeypatch.setattr("metseg.jobs.expiry.TOMBSTONE_KEPT_S", 0.5)
    keep.take()
    keep.look_until(lambda: not keep.store.blobs.names("jobs"))
    assert keep.holders.known() == set()


def test_what_is_left_of_an_upload_without_a_sender_goes(keep: Keep) -> None:
    left, under_way = new_job_id(), new_job_id()
    for job_id in (left, under_way):
        (keep.folder / "jobs" / job_id / "input").mkdir(parents=True)
        (keep.folder / "jobs" / job_id / "input" / ".0.part").write_bytes(b"half a scan")
    with keep.holders.holding(under_way, UPLOAD):
        keep.look_until(lambda: keep.files(left) == ["tombstone.json"])
        keep.look_for(2 * UNHELD_S)
        assert keep.files(under_way) == ["input/.0.part"]


def test_what_lost_attempts_left_of_an_ended_job_goes_and_its_result_stays(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    for attempt in (1, 2):
        assert keep.store.claim(job_id, attempt)
        keep.store.blobs.put(keep.store.artefact_key(job_id, attempt, "mask.nii.gz"), b"mask")
    (keep.folder / "jobs" / job_id / "attempts" / "2" / ".x.part").write_bytes(b"half")
    keep.end(job_id, attempt=2)
    keep.look_until(lambda: keep.redis.scard("metseg:watched") == 0)
    attempts = [name for name in keep.files(job_id) if name.startswith("attempts")]
    assert attempts == ["attempts/1/lease.json", "attempts/2/lease.json", "attempts/2/mask.nii.gz"]


def test_what_is_written_below_a_tombstone_goes(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    keep.store.erase(job_id)
    keep.store.claim(job_id, 1)
    keep.look_until(lambda: keep.files(job_id) == ["tombstone.json"])


def test_what_expires_on_a_full_disk_makes_the_room_that_its_tombstone_needs(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = keep.accept(kept_s=0.1)
    keep.end(job_id, ended_ago_s=1)
    put, input_file = keep.store.blobs.put_if_absent, keep.folder / "jobs" / job_id / "input" / "0"

    def put_where_there_is_room(key: str, data: bytes) -> bool:
        if input_file.exists():
            raise StoreUnavailableError("the blob store cannot write: No space left on device")
        return put(key, data)

    monkeypatch.setattr(keep.store.blobs, "put_if_absent", put_where_there_is_room)
    keep.look_until(lambda: keep.files(job_id) == ["tombstone.json"])


def test_a_job_of_the_far_future_does_not_stop_the_reconciler(keep: Keep) -> None:
    """Its id says the last millisecond that fits in; it was made by a clock that was wrong, or by hand."""
    erased, ended = "ffffffff-ffff-7fff-bfff-ffffffffffff", "fffffffe-ffff-7fff-bfff-ffffffffffff"
    keep.store.erase(erased)
    now = datetime.max.replace(tzinfo=UTC)
    keep.store.create(
        JobRecord(
            id=ended,
            created_at=now,
            request=JobRequest(),
            model=ModelRef(name="m", version=1, digest="d"),
            inputs=[],
        )
    )
    assert keep.store.finish(JobResult(job_id=ended, state=JobState.CANCELLED, finished_at=now))
    keep.look_until(lambda: keep.holders.known() == {erased, ended})
    keep.look_until(lambda: keep.holders.unheld([]) == [])
    assert keep.files(erased) == ["tombstone.json"]
