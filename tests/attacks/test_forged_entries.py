"""Somebody who can write to Redis puts his own entries into the queue: no worker does what they say."""

import json
import pickle
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from plain_rq import fetched, one_round, plain_queue
from redis import Redis
from rq import Callback
from rq.job import JobStatus

from metseg.queue.allow_list import FUNCTION
from metseg.schemas.job import new_job_id


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with closing(Redis.from_url(redis_url)) as connection:
        yield connection


def test_a_forged_function_is_not_run(redis, redis_url, tmp_path: Path):
    target = tmp_path / "made"
    entry = plain_queue(redis).enqueue("os.mkdir", str(target))
    assert one_round(redis_url) == []
    assert fetched(redis, entry.id).get_status() is JobStatus.FAILED
    assert not target.exists()


def test_plain_rq_would_have_run_it(redis, tmp_path: Path):
    target = tmp_path / "made"
    entry = plain_queue(redis).enqueue("os.mkdir", str(target))
    entry.perform()
    assert target.exists()


@pytest.mark.parametrize("kind", ["on_success", "on_failure"])
def test_a_forged_callback_is_not_run(redis, redis_url, tmp_path: Path, monkeypatch, kind):
    (tmp_path / "planted.py").write_text(
        "import os\nos.mkdir(os.path.dirname(__file__) + '/made')\ndef call(*_): pass"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    entry = plain_queue(redis).enqueue(FUNCTION, new_job_id(), 1, **{kind: Callback("planted.call")})
    assert one_round(redis_url) == []
    assert fetched(redis, entry.id).get_status() is JobStatus.FAILED
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        ((), {}),
        (("../../etc", 1), {}),
        ((None, 1), {}),
        (("ID", "1"), {}),
        (("ID", True), {}),
        (("ID", 1), {"x": 1}),
    ],
)
def test_other_arguments_are_refused(redis, arguments, keywords):
    job_id = new_job_id()
    arguments = [job_id if value == "ID" else value for value in arguments]
    entry = plain_queue(redis).enqueue_call(FUNCTION, args=arguments, kwargs=keywords)
    with pytest.raises(PermissionError):
        fetched(redis, entry.id).perform()


def test_a_pickle_is_refused_and_the_worker_goes_on(redis, redis_url, tmp_path: Path):
    bad = plain_queue(redis, serializer=pickle).enqueue("os.mkdir", str(tmp_path / "made"))
    plain_queue(redis).enqueue("os.getpid")
    one_round(redis_url)
    assert fetched(redis, bad.id).get_status() is JobStatus.FAILED
    assert plain_queue(redis).count == 0
    assert not (tmp_path / "made").exists()


def test_an_instance_to_call_a_method_of_is_refused(redis):
    entry = plain_queue(redis).enqueue("os.getpid")
    data = json.dumps(["upper", "text", [], {}]).encode()
    redis.hset(f"rq:job:{entry.id}", "data", zlib.compress(data))
    with pytest.raises(PermissionError):
        fetched(redis, entry.id).perform()
