"""A workplace for each test, on a Redis for all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_fixture import RedisServer
from workplace import Workplace, workplace


@pytest.fixture(scope="session")
def worker_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def place(tmp_path: Path, worker_redis: RedisServer) -> Iterator[Workplace]:
    """A workplace of this test's own; attempts work below `tmp_path / "scratch"`."""
    with workplace(tmp_path, worker_redis) as made:
        yield made


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory: pytest.TempPathFactory, worker_redis: RedisServer) -> Iterator[Workplace]:
    """A workplace for tests that only look at what a job left."""
    with workplace(tmp_path_factory.mktemp("shared"), worker_redis) as made:
        yield made
