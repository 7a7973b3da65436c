"""The queue on a real Redis: what goes into it, what a worker takes from it, and what it refuses."""

import json
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from plain_rq import fetched, one_round, plain_queue
from redis import Redis
from redis_fixture import RedisServer, free_port
from rq.exceptions import NoSuchJobError
from rq.timeouts import JobTimeoutException

from metseg.errors import JobTimeoutError, QueueUnavailableError, SettingsError
from metseg.queue.allow_list import FUNCTION
from metseg.queue.dispatcher import GRACE_S, Dispatcher
from metseg.queue.redis import CANCEL_KEY, KEPT_S, PROGRESS_KEY
from metseg.queue.rq_worker import MetsegWorker, WorkRules, make_worker
from metseg.queue.statistics import SERVING_AWAY_FIELD, WaitingLine
from metseg.schemas.job import Priority, Progress, Stage, new_job_id


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with closing(Redis.from_url(redis_url)) as connection:
        yield connection


@pytest.fixture
def dispatcher(redis_url: str) -> Iterator[Dispatcher]:
    with closing(Dispatcher(redis_url)) as made:
        yield made


def test_an_entry_holds_ids_only_and_expires(dispatcher, redis):
    job_id = new_job_id()
    dispatcher.enqueue(job_id, 2, timeout_s=600)
    entry = redis.hgetall(f"rq:job:{job_id}-2")
    assert json.loads(zlib.decompress(entry[b"data"])) == [FUNCTION, None, [job_id, 2], {}]
    assert entry[b"description"].decode() == f"{FUNCTION} {job_id} 2"
    assert 0 < redis.ttl(f"rq:job:{job_id}-2") <= KEPT_S
    assert {b"result_ttl", b"failure_ttl", b"ttl", b"timeout"} <= entry.keys()
    assert not entry.get(b"webhooks")


def test_the_same_attempt_waits_only_once(dispatcher):
    job_id = new_job_id()
    for attempt in (1, 1, 2):
        dispatcher.enqueue(job_id, attempt, timeout_s=5)
    assert dispatcher.queue_length() == 2


def test_progress_comes_back_as_it_was_written(dispatcher, redis):
    job_id, now = new_job_id(), datetime.now(UTC)
    progress = Progress(stage=Stage.PREDICT, fraction=0.5, attempt=1, started_at=now, updated_at=now)
    dispatcher.write_progress(job_id, progress)
    assert dispatcher.read_progress([job_id, "unknown"]) == {job_id: progress}
    assert 0 < redis.ttl(PROGRESS_KEY.format(job_id)) <= KEPT_S


@pytest.mark.parametrize("stored", [None, b"", b"not json", b'{"stage": "dance"}'])
def test_progress_that_cannot_be_read_is_none(dispatcher, redis, stored):
    job_id = new_job_id()
    if stored is not None:
        redis.set(PROGRESS_KEY.format(job_id), stored)
    assert dispatcher.read_progress([job_id]) == {}


def test_a_cancel_flag_is_seen_until_it_is_forgotten(dispatcher, redis):
    job_id = new_job_id()
    assert not dispatcher.cancel_requested(job_id)
    dispatcher.request_cancel(job_id)
    assert dispatcher.cancel_requested(job_id)
    assert 0 < redis.ttl(CANCEL_KEY.format(job_id)) <= KEPT_S
    dispatcher.forget(job_id)
    assert not dispatcher.cancel_requested(job_id)


def test_a_redis_that_is_down_is_told_of_quickly():
    job_id = new_job_id()
    with closing(Dispatcher(f"redis://127.0.0.1:{free_port()}/0")) as dispatcher:
        start = time.monotonic()
        for call in (dispatcher.ping, dispatcher.queue_length, lambda: dispatcher.request_cancel(job_id)):
            with pytest.raises(QueueUnavailableError):
                call()
        with pytest.raises(QueueUnavailableError):
            dispatcher.enqueue(job_id, 1, timeout_s=1)
        assert time.monotonic() - start < 5


def test_a_dispatcher_goes_on_after_redis_came_back(redis_server: RedisServer, dispatcher):
    dispatcher.ping()
    redis_server.stop()
    with pytest.raises(QueueUnavailableError):
        dispatcher.ping()
    redis_server.start()
    dispatcher.ping()


def test_a_url_of_another_kind_is_refused():
    with pytest.raises(SettingsError, match="METSEG_REDIS_URL"):
        Dispatcher("http://127.0.0.1:1")


def test_a_worker_without_redis_says_so():
    with pytest.raises(QueueUnavailableError):
        make_worker(f"redis://127.0.0.1:{free_port()}/0", lambda *_: None)


@pytest.fixture
def dying_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In place of the worker's `run_job` one that dies, so that what was run is told as lost."""
    package = tmp_path / "metseg_worker"
    package.mkdir()
    (package / "__init__.py").write_text("import os\ndef run_job(job_id, attempt): os.kill(os.getpid(), 9)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("dying_job")
def test_an_entry_queued_by_0_1_still_runs(redis_url):
    job_id = new_job_id()
    with closing(Redis.from_url(redis_url)) as redis:
        plain_queue(redis).enqueue("metseg_worker.run.run_job", job_id, 1)
        assert one_round(redis_url) == [f"{job_id} 1 worker_lost"]


@pytest.mark.usefixtures("dying_job")
def test_an_attempt_that_ends_without_a_word_is_reported(dispatcher, redis_url):
    job_id = new_job_id()
    dispatcher.enqueue(job_id, 1, timeout_s=5)
    assert one_round(redis_url) == [f"{job_id} 1 worker_lost"]


@pytest.mark.usefixtures("dying_job")
def test_what_is_urgent_is_taken_before_what_waits_longer(dispatcher, redis_url):
    routine, first, second = (new_job_id() for _ in range(3))
    dispatcher.enqueue(routine, 1, timeout_s=5)
    for job_id in (first, second):
        dispatcher.enqueue(job_id, 1, timeout_s=5, priority=Priority.URGENT)
    assert dispatcher.waiting() == {routine, first, second}
    assert [line.split()[0] for line in one_round(redis_url)] == [first, second, routine]
    assert dispatcher.queue_length() == 0


@pytest.mark.usefixtures("dying_job")
def test_every_fifth_pick_is_routines_so_that_it_is_never_starved(dispatcher, redis_url):
    routine = [new_job_id() for _ in range(2)]
    urgent = [new_job_id() for _ in range(7)]
    for job_id in routine:
        dispatcher.enqueue(job_id, 1, timeout_s=5)
    for job_id in urgent:
        dispatcher.enqueue(job_id, 1, timeout_s=5, priority=Priority.URGENT)
    with closing(WaitingLine(redis_url)) as line:
        told = [line.position(one, 1) for one in routine]
        told += [line.position(one, 1, Priority.URGENT) for one in urgent]
    taken = [line.split()[0] for line in one_round(redis_url)]
    assert taken == [*urgent[:4], routine[0], *urgent[4:], routine[1]]
    assert told == [taken.index(one) + 1 for one in routine + urgent]


def test_a_job_stays_in_the_queue_while_the_model_server_is_away(dispatcher, redis, redis_url, monkeypatch):
    """It was there when the worker began to wait for a job, and is not when one comes."""
    monkeypatch.setattr("metseg.queue.rq_worker.SERVING_LOOK_EVERY_S", 0.01)
    job_id, answers, places, made = new_job_id(), [True, False, False, False, True, True], [], []

    def serving_is_there() -> bool:
        places.append(dispatcher.queue_length())
        return answers.pop(0) if answers else True

    monkeypatch.setattr("rq.Worker._install_signal_handlers", lambda self: None)
    monkeypatch.setattr("rq.Worker.execute_job", lambda self, job, queue: made.append((job.id, job.timeout)))
    dispatcher.enqueue(job_id, 1, timeout_s=5)
    worker = make_worker(redis_url, lambda *_: None, WorkRules(patience_s=100, serving_is_there=serving_is_there))
    worker.work(max_jobs=2, logging_level="CRITICAL")
    assert made == [(f"{job_id}-1", 5 + GRACE_S + 100)]
    assert places == [1, 0, 1, 1, 1, 0]
    assert not redis.hexists(worker.key, SERVING_AWAY_FIELD)


def test_the_alarm_of_rq_is_a_job_timeout():
    alarm = MetsegWorker.death_penalty_class
    with pytest.raises(JobTimeoutError, match="time limit"), alarm(1, JobTimeoutException, job_id="x"):
        time.sleep(5)


def test_entries_end_with_their_time_to_live(dispatcher, redis, redis_url):
    entry = plain_queue(redis).enqueue("os.getpid", failure_ttl=1)
    one_round(redis_url)
    time.sleep(1.2)
    with pytest.raises(NoSuchJobError):
        fetched(redis, entry.id)
