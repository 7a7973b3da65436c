"""A disk that is full when a result is to be stored, or while it is made."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fault_disk import SmallDisk
from hostile_files import nifti
from outages import once_it_waits
from redis_fixture import RedisServer
from workplace import Workplace, workplace

from metseg.schemas.job import JobState
from metseg_worker import retry

ROOM_FOR_AN_END_BYTES = 16_384
NOISE = np.random.default_rng(0).integers(0, 9999, (32, 32, 64)).astype(np.int16)
"""What is larger than that, however well it is packed."""


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
    monkeypatch.setattr(retry, "AGAIN_AFTER_S", 0.1)
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
    monkeypatch.setattr(retry, "WAITS_S", 0.3)
    job_id = cramped.submit(nifti())
    final = cramped.attempt(job_id)
    assert (final.state, final.failure.code) == (JobState.FAILED, "store_unavailable")
    assert cramped.names(job_id) == ["end.json", "lease.json"]


@pytest.fixture
def narrow(
    tmp_path: Path, worker_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Workplace, SmallDisk]]:
    """A workplace whose attempts work on a small disk of their own."""
    monkeypatch.setattr(retry, "AGAIN_AFTER_S", 0.1)
    with SmallDisk(tmp_path / "small", size_bytes=64 << 20) as disk, workplace(tmp_path, worker_redis) as made:
        if not disk.can_be_full:
            pytest.skip("this user may mount no file system, so no disk can be full")
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "small"))
        made.serving.lesion_from = 256  # noise is full of what is bright
        yield made, disk


def test_an_attempt_waits_for_room_on_its_own_disk(narrow: tuple[Workplace, SmallDisk]) -> None:
    place, disk = narrow
    disk.fill(leave_bytes=ROOM_FOR_AN_END_BYTES)
    with once_it_waits(disk.free) as told:
        final = place.attempt(place.submit(nifti(NOISE)))
    assert told == ["the attempt waits for room on its own disk"]
    assert final.state is JobState.SUCCEEDED


@pytest.mark.parametrize("full_from", ["the beginning", "the network on"])
def test_a_full_disk_of_the_worker_is_not_told_as_the_stores(
    narrow: tuple[Workplace, SmallDisk], monkeypatch: pytest.MonkeyPatch, full_from: str
) -> None:
    place, disk = narrow
    monkeypatch.setattr(retry, "WAITS_S", 0.3)
    if full_from == "the beginning":
        disk.fill(leave_bytes=ROOM_FOR_AN_END_BYTES)
    else:
        place.serving.on_call = lambda: disk.fill(leave_bytes=0)
    final = place.attempt(place.submit(nifti(NOISE)))
    assert (final.state, final.failure.code) == (JobState.FAILED, "scratch_full")
