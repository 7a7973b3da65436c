"""What is refused for the time being: told with `Retry-After`, before the scan is read, and nothing left of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from api_service import ApiService, StatusServer, api_settings, problem, serving, write_cards
from following import end
from redis_fixture import RedisServer

from metseg.dispatch import connect, open_queue
from metseg.waiting_line import Pace
from metseg_api.admission import Admission, Limits
from metseg_api.errors import QueueFullError, RateLimitedError
from metseg_api.keys import KeyFile, Scope

SCAN = {"file": ("x", b"scan bytes")}
Limited = Callable[..., AbstractContextManager[ApiService]]


@pytest.fixture
def limited(tmp_path: Path, redis_server: RedisServer, own_status_server: StatusServer) -> Limited:
    """Makes an API with a Redis of its own and other limits than the usual ones."""

    @contextmanager
    def run(*, with_keys: bool = False, **limits: int) -> Iterator[ApiService]:
        write_cards(tmp_path / "models", {"attention_unet": [1]})
        serving_at = own_status_server.target
        settings = api_settings(tmp_path, redis_url=redis_server.url, serving_at=serving_at, **limits)
        if with_keys:
            KeyFile(settings.keys).create("first", [Scope.READ])
        with serving(settings) as running:
            yield running

    return run


def refused(answer: httpx.Response, status: int, code: str) -> None:
    problem(answer, status, code)
    assert int(answer.headers["retry-after"]) >= 1


def test_a_full_queue_refuses_until_a_worker_took_one(limited: Limited) -> None:
    with limited(max_queued=2) as api:
        first, _ = api.submitted(), api.submitted()
        refused(api.submit(), 503, "queue_full")
        assert api.http.get("/readyz").json()["parts"]["queue"] == {"ready": False, "code": "queue_full"}
        assert len(api.jobs.ids()) == 2
        assert len(list(api.store.glob("jobs/*"))) == 2
        with connect(api.settings.redis_url) as redis:
            open_queue(redis).remove(f"{first}-1")
        assert api.submit().status_code == 202


@pytest.mark.parametrize(
    ("pace", "expected_s"),
    [(Pace(2, 4.0), 20), (Pace(8, 0.1), 5), (Pace(1, 500.0), 300), (Pace(0, None), 300), (Pace(0, 2.0), 20)],
)
def test_how_long_a_full_queue_takes_is_told_from_its_pace(pace: Pace, expected_s: float) -> None:
    limits = Limits(queued=5, free_bytes=0, requests_per_minute=1, open_jobs=1)
    admission = Admission("redis://127.0.0.1:1/0", limits)
    queue, line = SimpleNamespace(queue_length=lambda: 5), SimpleNamespace(pace=lambda: pace)
    with pytest.raises(QueueFullError) as caught:
        admission.check_queue(queue, line)  # type: ignore[arg-type]
    assert caught.value.retry_after_s == expected_s


def test_a_store_with_too_little_room_refuses(limited: Limited) -> None:
    with limited(min_free_bytes=1 << 60) as api:
        refused(api.submit(), 503, "store_full")
        assert api.http.get("/readyz").json()["parts"]["store"] == {"ready": False, "code": "store_full"}
        assert api.stored() == []


def test_an_upload_that_would_fill_the_store_is_refused_by_its_length(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    with limited(min_free_bytes=1000) as api:
        monkeypatch.setattr(api.app.state.backends.blobs, "free_bytes", lambda: 3000)
        assert api.submit(b"x" * 100).status_code == 202
        refused(api.submit(b"x" * 2000), 503, "store_full")


def test_an_owner_has_so_many_jobs_under_way_and_no_more(limited: Limited) -> None:
    with (
        limited(with_keys=True, max_open_jobs=2) as api,
        api.as_owner("anna") as anna,
        api.as_owner("bert") as bert,
    ):
        ids = [anna.post("/v1/jobs", files=SCAN).json()["id"] for _ in range(2)]
        refused(anna.post("/v1/jobs", files=SCAN), 429, "quota_exceeded")
        assert bert.post("/v1/jobs", files=SCAN).status_code == 202
        end(api, ids[0])
        ids.append(anna.post("/v1/jobs", files=SCAN).json()["id"])
        refused(anna.post("/v1/jobs", files=SCAN), 429, "quota_exceeded")
        anna.delete(f"/v1/jobs/{ids[1]}")
        assert anna.post("/v1/jobs", files=SCAN).status_code == 202


def test_a_key_may_ask_so_often_a_minute_and_no_more(limited: Limited) -> None:
    with limited(with_keys=True, max_requests_per_minute=5) as api, api.as_owner("anna") as anna:
        with api.as_owner("anna", Scope.READ) as another:
            assert [anna.get("/v1/jobs").status_code for _ in range(5)] == [200] * 5
            answer = anna.get("/v1/jobs")
            refused(answer, 429, "rate_limited")
            assert int(answer.headers["retry-after"]) <= 60
            refused(anna.post("/v1/jobs", files=SCAN), 429, "rate_limited")
            assert another.get("/v1/jobs").status_code == 200
        assert api.http.get("/healthz").status_code == 200


def test_a_request_counts_for_a_minute_from_its_own_moment(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metseg_api.admission.WINDOW_S", 4)
    with limited(max_requests_per_minute=3) as api:
        check = api.app.state.backends.admission.check_rate
        began = time.monotonic()
        check("key")
        time.sleep(2.5)
        for _ in range(2):
            check("key")
        with pytest.raises(RateLimitedError) as caught:
            check("key")
        assert caught.value.retry_after_s == pytest.approx(4 - (time.monotonic() - began), abs=0.7)
        time.sleep(caught.value.retry_after_s)
        check("key")
        with pytest.raises(RateLimitedError):
            check("key")


def test_a_wiped_redis_forgets_no_job_under_way(limited: Limited) -> None:
    with limited(with_keys=True, max_open_jobs=2) as api, api.as_owner("anna") as anna:
        assert {anna.post("/v1/jobs", files=SCAN).status_code for _ in range(2)} == {202}
        with connect(api.settings.redis_url) as redis:
            redis.flushall()
            until = time.monotonic() + 60
            while int(redis.scard("metseg:open:anna")) < 2 and time.monotonic() < until:
                time.sleep(0.1)
        refused(anna.post("/v1/jobs", files=SCAN), 429, "quota_exceeded")
        end(api, api.jobs.ids()[0])
        assert anna.post("/v1/jobs", files=SCAN).status_code == 202


def test_while_redis_is_down_nobody_is_counted(limited: Limited, redis_server: RedisServer) -> None:
    with limited(with_keys=True, max_requests_per_minute=1) as api, api.as_owner("anna") as anna:
        redis_server.stop()
        assert [anna.get("/v1/jobs").status_code for _ in range(3)] == [200] * 3


def test_without_keys_nobody_is_counted(limited: Limited) -> None:
    with limited(max_requests_per_minute=1, max_open_jobs=1) as api:
        assert {api.submit().status_code for _ in range(3)} == {202}
