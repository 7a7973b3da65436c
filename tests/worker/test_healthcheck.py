"""What a container engine is told of the worker."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis_fixture import RedisServer

from metseg.queue.redis import connect

pytestmark = pytest.mark.slow


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    with RedisServer(tmp_path) as server:
        yield {**os.environ, "METSEG_REDIS_URL": server.url, "METSEG_STORE": str(tmp_path / "store")}


@pytest.fixture
def worker(environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-m", "metseg_worker"], env=environ, stderr=subprocess.DEVNULL
    ) as process:
        until(lambda: health(environ) == (0, ""))
        yield process
        process.kill()


def health(environ: dict[str, str]) -> tuple[int, str]:
    command = [sys.executable, "-m", "metseg_worker.healthcheck"]
    result = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    return result.returncode, result.stderr


def until(holds: Callable[[], bool], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_worker_that_waits_for_jobs_is_healthy_until_it_stops(
    environ: dict[str, str], worker: subprocess.Popen[bytes]
) -> None:
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=60) == 0
    assert health(environ) == (1, "metseg-worker: no worker of this host beats\n")


def test_a_worker_that_no_longer_beats_is_not_healthy(
    environ: dict[str, str], worker: subprocess.Popen[bytes]
) -> None:
    worker.send_signal(signal.SIGSTOP)
    redis = connect(environ["METSEG_REDIS_URL"])
    (entry,) = redis.keys("rq:worker:*")
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    redis.hset(entry, "last_heartbeat", long_ago.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    redis.close()
    assert health(environ)[0] == 1


def test_without_redis_the_worker_is_not_healthy(environ: dict[str, str]) -> None:
    code, told = health({**environ, "METSEG_REDIS_URL": "redis://127.0.0.1:1/0"})
    assert code == 1
    assert told.startswith("metseg-worker: The job queue does not answer")
    assert told.count("\n") == 1
