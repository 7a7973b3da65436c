"""Leases of jobs and the leading reconciler, by heartbeats in Redis, whatever its clock does."""

import time

import pytest
from keeping import UNHELD_S, Keep, keep, keeping, server
from redis_fixture import RedisServer

from metseg.schemas.job import new_job_id

__all__ = ["keep", "server"]  # fixtures


def test_whoever_hangs_for_too_long_beats_no_more(keep: Keep) -> None:
    beats: list[bool] = []
    with keep.holders.holding(new_job_id(), 1, most_s=0.3, on_beat=beats.append):
        time.sleep(1)
    assert 2 <= len(beats) <= 5


def test_beats_of_an_earlier_attempt_are_refused_and_it_is_told(keep: Keep) -> None:
    job_id, told = new_job_id(), list[bool]()
    with keep.holders.holding(job_id, 1, on_beat=told.append):
        assert keep.holders.beat(job_id, 2)
        time.sleep(0.5)
    assert (told[0], told[-1]) == (True, False)
    assert keep.holders.is_held(job_id)


def test_one_looks_at_a_time(keep: Keep, server: RedisServer) -> None:
    keep.reconciler.look()
    with keeping(keep.folder, server) as other:
        job_id = keep.accept()
        keep.take()
        other.look_for(3 * UNHELD_S)
        assert keep.waiting() == []
        keep.holders.step_down()
        other.look_until(keep.waiting)
    assert keep.waiting() == [f"{job_id}-1"]


@pytest.mark.parametrize("key", ["metseg:holder:{}", "metseg:reconciler", "metseg:scanned"])
def test_a_redis_whose_clock_was_put_back_does_not_keep_the_dead_alive(keep: Keep, key: str) -> None:
    job_id = keep.accept()
    keep.take()
    keep.redis.set(key.format(job_id), b"1", ex=3600)  # what ten seconds become when the clock goes back an hour
    keep.holders.unheld([])
    keep.holders.lead()
    keep.holders.begin_scan()
    assert 0 < keep.redis.ttl(key.format(job_id)) <= 30


@pytest.mark.parametrize(("ahead_s", "expected"), [(7200, 0), (0, 1)])
def test_one_clock_that_is_ahead_erases_nothing(
    keep: Keep, monkeypatch: pytest.MonkeyPatch, ahead_s: float, expected: int
) -> None:
    now = time.time()
    keep.holders.put_off(new_job_id(), now - 2 + ahead_s / 2)
    monkeypatch.setattr(time, "time", lambda: now + ahead_s + 1)
    assert len(keep.holders.due()) == expected
