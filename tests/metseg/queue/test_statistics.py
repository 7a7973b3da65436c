"""The line of waiting attempts, as RQ's records tell it."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from redis_fixture import RedisServer, redis_server, redis_url
from rq import Queue, Worker

from metseg.errors import QueueUnavailableError
from metseg.queue.dispatcher import Dispatcher, open_queue
from metseg.queue.redis import connect
from metseg.queue.statistics import SERVING_AWAY_FIELD, Throughput, WaitingLine
from metseg.schemas.job import Priority, new_job_id

__all__ = ["redis_server", "redis_url"]


@pytest.fixture
def line(redis_url: str) -> Iterator[WaitingLine]:
    with closing(WaitingLine(redis_url)) as line:
        yield line


@pytest.fixture
def queue(redis_url: str) -> Iterator[Queue]:
    connection = connect(redis_url)
    yield open_queue(connection)
    connection.close()


def ended(queue: Queue, redis_url: str, seconds: float) -> None:
    """An attempt that took so long, as a worker leaves it."""
    job_id = new_job_id()
    with closing(Dispatcher(redis_url)) as dispatcher:
        dispatcher.enqueue(job_id, 1, timeout_s=60)
    job = queue.fetch_job(f"{job_id}-1")
    assert job is not None
    queue.remove(job)
    job.started_at = datetime.now(UTC)
    job.ended_at = job.started_at + timedelta(seconds=seconds)
    job.save()
    queue.finished_job_registry.add(job, 3600)


def test_places_are_counted_from_one_and_move_up(line: WaitingLine, queue: Queue, redis_url: str) -> None:
    ids = [new_job_id() for _ in range(3)]
    with closing(Dispatcher(redis_url)) as dispatcher:
        for job_id in ids:
            dispatcher.enqueue(job_id, 1, timeout_s=60)
    assert [line.position(job_id, 1) for job_id in ids] == [1, 2, 3]
    queue.remove(f"{ids[0]}-1")
    assert [line.position(job_id, 1) for job_id in ids] == [None, 1, 2]
    assert line.position(ids[1], 2) is None


def test_what_is_urgent_stands_before_what_is_routine(line: WaitingLine, redis_url: str) -> None:
    routine, urgent = new_job_id(), new_job_id()
    with closing(Dispatcher(redis_url)) as dispatcher:
        dispatcher.enqueue(routine, 1, timeout_s=60)
        dispatcher.enqueue(urgent, 1, timeout_s=60, priority=Priority.URGENT)
    assert line.position(urgent, 1, Priority.URGENT) == 1
    assert line.position(routine, 1) == 2


def test_an_empty_line_has_no_pace(line: WaitingLine) -> None:
    assert line.pace() == Throughput(workers=0, typical_s=None)


def test_the_pace_is_that_of_living_workers_and_of_what_ended(
    line: WaitingLine, queue: Queue, redis_url: str
) -> None:
    for seconds in (1, 2, 30):
        ended(queue, redis_url, seconds)
    workers = [Worker([queue], connection=queue.connection) for _ in range(3)]
    for worker in workers:
        worker.register_birth()
    queue.connection.delete(workers[0].key)  # it was killed: its key ran out, its name is still there
    assert line.pace() == Throughput(workers=2, typical_s=2)


def test_the_pace_is_asked_anew_only_after_some_seconds(
    line: WaitingLine, queue: Queue, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert line.pace().typical_s is None
    ended(queue, redis_url, 3)
    assert line.pace().typical_s is None
    monkeypatch.setattr("metseg.queue.statistics.REMEMBERED_S", 0)
    assert line.pace().typical_s == 3


def test_the_model_server_is_away_when_every_living_worker_says_so(
    line: WaitingLine, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metseg.queue.statistics.REMEMBERED_S", 0)
    workers = [Worker([queue], connection=queue.connection) for _ in range(3)]
    for worker in workers:
        worker.register_birth()
        queue.connection.hset(worker.key, SERVING_AWAY_FIELD, "1")
    assert line.pace().serving_is_away
    queue.connection.hdel(workers[0].key, SERVING_AWAY_FIELD)
    assert not line.pace().serving_is_away
    queue.connection.delete(workers[0].key)
    assert line.pace().serving_is_away


def test_a_worker_beats_on_its_own_host_alone(line: WaitingLine, queue: Queue) -> None:
    assert not line.beats_on("here")
    worker = Worker([queue], connection=queue.connection)
    worker.hostname = "here"
    worker.register_birth()
    assert line.beats_on("here")
    assert not line.beats_on("elsewhere")


def test_without_redis_it_says_so(line: WaitingLine, redis_server: RedisServer) -> None:
    redis_server.stop()
    with pytest.raises(QueueUnavailableError):
        line.position(new_job_id(), 1)
    with pytest.raises(QueueUnavailableError):
        line.pace()


def test_looking_changes_nothing(line: WaitingLine, redis_url: str) -> None:
    with closing(Dispatcher(redis_url)) as dispatcher, Redis.from_url(redis_url) as redis:
        dispatcher.enqueue(new_job_id(), 1, timeout_s=60)
        before = {key: redis.dump(key) for key in redis.keys()}
        line.pace()
        line.position(new_job_id(), 1)
        assert {key: redis.dump(key) for key in redis.keys()} == before
