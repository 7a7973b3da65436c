"""Jobs that nobody has wait again, or end: whatever died, and whatever Redis lost."""

import os
import time
from datetime import UTC, datetime

import pytest
from keeping import UNHELD_S, Keep, keep, server
from redis_fixture import RedisServer

from metseg.errors import QueueUnavailableError
from metseg.queue.recovery import Recovery
from metseg.schemas.job import MOST_LOST_ATTEMPTS, AttemptEnd, JobResult, JobState

__all__ = ["keep", "server"]  # fixtures


def test_a_job_that_waits_is_let_wait(keep: Keep) -> None:
    job_id = keep.accept()
    keep.look_for(3 * UNHELD_S)
    assert keep.waiting() == [f"{job_id}-1"]


def test_a_job_whose_worker_died_before_it_claimed_it_waits_again(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    keep.look_until(keep.waiting)
    assert keep.waiting() == [f"{job_id}-1"]
    assert keep.store.latest_attempt(job_id) == 0


def test_an_attempt_whose_heart_stopped_is_lost_and_the_next_waits(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    assert keep.store.claim(job_id, 1)
    keep.store.blobs.put(keep.store.artefact_key(job_id, 1, "mask.nii.gz"), b"half")
    keep.look_until(keep.waiting)
    assert keep.waiting() == [f"{job_id}-2"]
    assert keep.store.lost_attempts(job_id) == 1
    assert "attempts/1/mask.nii.gz" not in keep.files(job_id)


def test_an_attempt_that_beats_is_left_alone(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    with keep.holders.holding(job_id, 1):
        assert keep.store.claim(job_id, 1)
        keep.look_for(4 * UNHELD_S)
        assert keep.waiting() == []
    keep.look_until(keep.waiting)
    assert keep.waiting() == [f"{job_id}-2"]


def test_an_attempt_that_turns_up_at_the_last_moment_is_not_given_up(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    with keep.holders.holding(job_id, 1):
        assert keep.store.claim(job_id, 1)
        Recovery(keep.store, keep.dispatcher, keep.holders, timeout_s=5).settle(job_id)
    assert (keep.waiting(), keep.store.lost_attempts(job_id)) == ([], 0)


def test_a_reported_loss_is_acted_on_at_once(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    keep.holders.beat(job_id, 1)
    assert keep.store.claim(job_id, 1)
    keep.holders.report_lost(job_id, 1, "worker_lost")
    keep.reconciler.look()
    assert keep.waiting() == [f"{job_id}-2"]
    assert keep.holders.lost() == []


def test_a_late_report_of_an_earlier_attempt_changes_nothing(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    for attempt in (1, 2):
        assert keep.store.claim(job_id, attempt)
    with keep.holders.holding(job_id, 2):
        keep.holders.report_lost(job_id, 1, "worker_lost")
        keep.look_for(2 * UNHELD_S)
    assert (keep.waiting(), keep.store.lost_attempts(job_id)) == ([], 0)


def test_a_job_that_loses_its_worker_three_times_fails_for_good(keep: Keep) -> None:
    job_id = keep.accept()
    for attempt in range(1, MOST_LOST_ATTEMPTS + 1):
        assert keep.take() == f"{job_id}-{attempt}"
        assert keep.store.claim(job_id, attempt)
        keep.look_until(lambda: keep.waiting() or keep.store.final(job_id))
    final = keep.store.final(job_id)
    assert (final.state, final.failure.code, final.attempt) == (JobState.FAILED, "worker_lost", 3)
    keep.look_for(2 * UNHELD_S)
    assert keep.waiting() == []


def test_an_attempt_that_was_given_back_is_followed_by_the_next_and_is_no_loss(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    assert keep.store.claim(job_id, 1)
    keep.store.end_attempt(job_id, 1, AttemptEnd(ended_at=datetime.now(UTC)))
    keep.look_until(keep.waiting)
    assert (keep.waiting(), keep.store.lost_attempts(job_id)) == ([f"{job_id}-2"], 0)


def test_the_end_of_an_attempt_that_died_before_it_was_the_jobs_is_published(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    assert keep.store.claim(job_id, 1)
    final = JobResult(job_id=job_id, state=JobState.SUCCEEDED, attempt=1, finished_at=datetime.now(UTC))
    keep.store.end_attempt(job_id, 1, AttemptEnd(ended_at=final.finished_at, final=final))
    keep.look_until(lambda: keep.store.final(job_id))
    assert keep.store.final(job_id) == final
    assert keep.waiting() == []


def test_a_wiped_redis_loses_nothing(keep: Keep) -> None:
    waits, runs, ended, stopping = (keep.accept() for _ in range(4))
    for _ in range(4):
        keep.take()
    for job_id in (runs, stopping):
        assert keep.store.claim(job_id, 1)
    keep.store.ask_cancel(stopping)
    keep.end(ended)
    keep.look_for(UNHELD_S / 2)
    keep.redis.flushall()
    with keep.holders.holding(runs, 1):
        keep.look_until(lambda: keep.waiting() and keep.store.final(stopping) and keep.holders.known() >= {ended})
        assert keep.waiting() == [f"{waits}-1"]
        assert keep.store.final(stopping).state is JobState.CANCELLED
        assert keep.store.final(runs) is None
    keep.look_until(lambda: len(keep.waiting()) == 2)
    assert keep.waiting() == [f"{waits}-1", f"{runs}-2"]


def test_a_running_attempt_hears_of_a_cancel_that_redis_forgot(keep: Keep) -> None:
    job_id = keep.accept(enqueue=False)
    keep.store.ask_cancel(job_id)
    with keep.holders.holding(job_id, 1):
        keep.look_until(lambda: keep.dispatcher.cancel_requested(job_id))


def test_jobs_that_a_dead_api_never_queued_are_found(keep: Keep) -> None:
    first, second = keep.accept(enqueue=False), keep.accept(enqueue=False)
    keep.look_until(lambda: len(keep.waiting()) == 2)
    assert keep.waiting() == [f"{first}-1", f"{second}-1"]


def test_a_damaged_job_does_not_hold_up_the_others(keep: Keep) -> None:
    damaged, sound = keep.accept(), keep.accept()
    keep.store.blobs.put(f"jobs/{damaged}/job.json", b"{}")
    for _ in range(2):
        keep.take()
    keep.look_until(keep.waiting)
    assert keep.waiting() == [f"{sound}-1"]


def test_a_reconciler_waits_for_redis_and_counts_anew(keep: Keep, server: RedisServer) -> None:
    job_id = keep.accept()
    keep.take()
    keep.look_for(UNHELD_S / 2)
    server.stop()
    with pytest.raises(QueueUnavailableError):
        keep.reconciler.look()
    rounds = iter([False, False, True])
    keep.reconciler.run(lambda _seconds: next(rounds))
    server.start()
    keep.look_until(keep.waiting)
    assert keep.waiting() == [f"{job_id}-1"]


def test_what_others_write_into_redis_does_not_stop_it(keep: Keep) -> None:
    job_id = keep.accept()
    keep.take()
    keep.redis.sadd("metseg:watched", "../../etc", b"\xff", "")
    keep.redis.zadd("metseg:due", {"x": 1, "jobs/..": 2})
    keep.redis.hset("metseg:lost", mapping={"x-1": "y", f"{job_id}-x": "y", f"{job_id}--1": "y", b"\xff": b"\xff"})
    keep.look_until(keep.waiting)
    assert keep.waiting() == [f"{job_id}-1"]


def test_what_belongs_to_no_job_is_swept_when_it_is_old(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metseg.queue.reconciler.SWEEP_EVERY_S", 0.5)
    store = keep.folder
    erased, held = keep.accept(enqueue=False), keep.accept()
    for name, job_id in (("a" * 64, erased), ("b" * 64, held), ("c" * 64, "no id")):
        keep.store.blobs.put(f"keys/{name}", job_id.encode())
    keep.store.erase(erased)
    keep.store.blobs.put("audit/000000000/000000000001.json", b"{}")
    for folder in ("keys", "audit/000000000"):
        for name, age_s in ((".old.part", 60), (".new.part", -60)):
            path = store / folder / name
            path.touch()
            os.utime(path, (time.time() - age_s, time.time() - age_s))
    keep.look_until(lambda: not (store / "keys" / ("a" * 64)).exists())
    left = sorted(
        str(path.relative_to(store)) for path in store.rglob("*") if path.is_file() and "jobs" not in path.parts
    )
    assert left == [
        "audit/000000000/.new.part",
        "audit/000000000/000000000001.json",
        "keys/.new.part",
        f"keys/{'b' * 64}",
    ]
