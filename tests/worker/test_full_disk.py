"""A disk that is full when a result is to be stored."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_disk import SmallDisk
from hostile_files import nifti
from outages import once_it_waits
from redis_fixture import RedisServer
from workplace import Workplace, workplace

from metseg.jobs import JobState
from metseg_worker import patience

ROOM_FOR_AN_END_BYTES = 16_384


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "store", size_bytes=8 << 20) as made:
        if not made.can_be_full:
            pytest.skip("this user may mount no file system, so no disk can be full")
        yield made


@pytest.fixture
def cramped(
    tmp_path: Path, disk: SmallDisk, worker_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workplace]:
    """A workplace whose disk is full by the time the network is asked."""
    monkeypatch.setattr(patience, "AGAIN_AFTER_S", 0.1)
    with workplace(tmp_path, worker_redis) as made:
        made.serving.on_call = lambda: disk.fill(leave_bytes=ROOM_FOR_AN_END_BYTES)
        yield made


def test_a_result_waits_until_there_is_room(cramped: Workplace, disk: SmallDisk) -> None:
    job_id = cramped.submit(nifti())
    with once_it_waits(disk.free) as told:
        final = cramped.attempt(job_id)
    assert told == ["the attempt waits for the store"]
    assert (final.state, final.attempt) == (JobState.SUCCEEDED, 1)
    assert set(cramped.names(job_id)) >= {one.name for one in final.artefacts}


def test_a_result_that_waits_can_be_cancelled(cramped: Workplace) -> None:
    job_id = cramped.submit(nifti())
    with once_it_waits(lambda: cramped.dispatcher.request_cancel(job_id)):
        assert cramped.attempt(job_id).state is JobState.CANCELLED
    assert cramped.names(job_id) == ["end.json", "lease.json"]


def test_a_disk_that_stays_full_fails_the_job_by_a_code_of_its_own(
    cramped: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "WAITS_S", 0.3)
    job_id = cramped.submit(nifti())
    final = cramped.attempt(job_id)
    assert (final.state, final.failure.code) == (JobState.FAILED, "store_unavailable")
    assert cramped.names(job_id) == ["end.json", "lease.json"]
