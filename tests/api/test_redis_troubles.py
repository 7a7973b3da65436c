"""A Redis that answers and takes no writes, and one that is frozen."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_fixtures import serving_with_keys
from api_service import ApiService, StatusServer, problem
from redis_fixture import RedisServer
from webhook_receiver import wait_until

from metseg.queue.redis import connect


@pytest.fixture
def keyed(tmp_path: Path, redis_server: RedisServer, own_status_server: StatusServer) -> Iterator[ApiService]:
    """An API that wants a key, with a Redis of its own."""
    with serving_with_keys(tmp_path, redis_server, own_status_server) as running:
        yield running


def test_a_redis_that_takes_no_writes_makes_the_gateway_unready(keyed: ApiService) -> None:
    def queue() -> object:
        return keyed.http.get("/readyz").json()["parts"]["queue"]

    assert queue() == {"ready": True, "code": None}
    with connect(keyed.settings.redis_url) as redis, keyed.as_owner("anna") as anna:
        redis.config_set("maxmemory", 1)
        assert queue() == {"ready": False, "code": "queue_unavailable"}
        problem(anna.post("/v1/jobs", files={"file": ("a", b"scan")}), 503, "queue_unavailable")
        redis.config_set("maxmemory", 0)
    assert queue() == {"ready": True, "code": None}


def test_a_frozen_redis_is_waited_for_once_and_not_by_each_request(
    keyed: ApiService, redis_server: RedisServer
) -> None:
    with keyed.as_owner("anna") as anna:
        path = f"/v1/jobs/{anna.post('/v1/jobs', files={'file': ('a', b'scan')}).json()['id']}"
        assert anna.get(path).json()["queue_position"] == 1
        redis_server.freeze()
        try:
            began = time.monotonic()
            answers = [anna.get(path) for _ in range(5)]
            took_s = time.monotonic() - began
            problem(anna.post("/v1/jobs", files={"file": ("a", b"scan")}), 503, "queue_unavailable")
        finally:
            redis_server.thaw()
        assert [answer.json()["queue_position"] for answer in answers] == [None] * 5
        assert took_s < 8  # each alone took four seconds and more, when none knew of the others
        wait_until(lambda: anna.get(path).json()["queue_position"] == 1)
