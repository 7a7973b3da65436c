"""The API's metrics for Prometheus, from a running API."""

from collections.abc import Iterator

import pytest
from api_service import StatusServer, api_settings, serving
from following import ended
from redis_fixture import RedisServer

from metseg.schemas.job import JobState, ModelRef


@pytest.fixture(scope="module")
def api_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """After a job that waits, one that failed, and some requests."""
    folder = tmp_path_factory.mktemp("monitoring")
    status_server = StatusServer({"attention_unet": [1]})
    with RedisServer(folder) as redis:
        settings = api_settings(folder, redis_url=redis.url, serving_at=status_server.target)
        with serving(settings) as api:
            api.http.get("/v1/models")
            api.dispatcher.tell_end(ended(JobState.FAILED, "worker_lost"), {"read": 1.0, "total": 2.0})
            api.dispatcher.count_agreement(ModelRef(name="m", version=2, digest=""), 1, 0.9, same_count=True)
            yield api.http.get("/metrics").text
    status_server.stop()
