"""What is refused for the time being: told with `Retry-After`, before the scan is read, and nothing left of it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Barrier, Event
from types import SimpleNamespace

import httpx
import pytest
from api_service import ApiService, StatusServer, api_settings, problem, serving, write_cards
from following import end
from redis_fixture import RedisServer

from metseg.queue.dispatcher import open_queue
from metseg.queue.redis import HOLDER_KEY, connect
from metseg.queue.statistics import Throughput
from metseg.queue.upload_room import UPLOADS_KEY
from metseg.schemas.job import new_job_id
from metseg_api.auth.api_keys import KeyFile, Scope
from metseg_api.errors import QueueFullError, RateLimitedError
from metseg_api.uploads.limits import Admission, Limits

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
    [
        (Throughput(2, 4.0), 20),
        (Throughput(8, 0.1), 5),
        (Throughput(1, 500.0), 300),
        (Throughput(0, None), 300),
        (Throughput(0, 2.0), 20),
    ],
)
def test_how_long_a_full_queue_takes_is_told_from_its_pace(pace: Throughput, expected_s: float) -> None:
    limits = Limits(queued=5, free_bytes=0, requests_per_minute=1, open_jobs=1, uploads=1)
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
    monkeypatch.setattr("metseg.queue.request_rate.WINDOW_S", 4)
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


def at_once(count: int, send: Callable[[], httpx.Response]) -> list[int]:
    """The statuses of so many uploads that are all sent at the same moment."""
    gate = Barrier(count)

    def wait_and_send(_number: int) -> int:
        gate.wait(30)
        return send().status_code

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(wait_and_send, range(count)))


def test_the_quota_holds_for_uploads_that_come_at_once(limited: Limited) -> None:
    with limited(with_keys=True, max_open_jobs=5) as api, api.as_owner("anna") as anna:
        statuses = at_once(30, lambda: anna.post("/v1/jobs", files=SCAN))
        assert (statuses.count(202), statuses.count(429)) == (5, 25)
        end(api, api.jobs.ids()[0])
        assert anna.post("/v1/jobs", files=SCAN).status_code == 202


def test_the_queue_limit_holds_for_uploads_that_come_at_once(limited: Limited) -> None:
    with limited(max_queued=5) as api:
        statuses = at_once(30, api.submit)
        assert (statuses.count(202), statuses.count(503)) == (5, 25)
        assert len(api.jobs.ids()) == 5
        with connect(api.settings.redis_url) as redis:
            assert redis.hlen(UPLOADS_KEY) == 0


def body_of(scan_bytes: int, held_back: Event, began: Event) -> Iterator[bytes]:
    """A form whose end is held back."""
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    for _ in range(scan_bytes >> 16):
        yield bytes(1 << 16)
    began.set()
    held_back.wait(60)
    yield b"\r\n--b--\r\n"


@contextmanager
def under_way(api: ApiService, scan_bytes: int) -> Iterator[Future[httpx.Response]]:
    """An upload that has sent its scan and not its end yet; that comes when the context is left."""
    held_back, began = Event(), Event()
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    with ThreadPoolExecutor(1) as pool:
        body = body_of(scan_bytes, held_back, began)
        answer = pool.submit(api.http.post, "/v1/jobs", content=body, headers=headers)
        assert began.wait(60)
        try:
            yield answer
        finally:
            held_back.set()


@contextmanager
def half_sent(api: ApiService, length: int) -> Iterator[None]:
    """An upload that has announced so many bytes and stands still; it is broken off when the context is left."""
    head = (
        "POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", api.settings.api_port), timeout=30) as line:
        line.sendall(head.encode())
        yield


def wait_until(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.05)


def refused_now(api: ApiService) -> bool:
    answer = api.submit(bytes(4 << 20))
    if answer.status_code == 202:
        api.http.delete(f"/v1/jobs/{answer.json()['id']}")
        return False
    refused(answer, 503, "store_full")
    return True


def disk_of(api: ApiService, monkeypatch: pytest.MonkeyPatch, size_bytes: int) -> None:
    """Let the store lie on a disk of that size, with nothing else on it."""

    def free_bytes() -> int:
        files = (path for path in api.store.rglob("*") if path.is_file())
        with suppress(FileNotFoundError):
            return size_bytes - sum(path.stat().st_size for path in files)
        return free_bytes()

    monkeypatch.setattr(api.app.state.backends.blobs, "free_bytes", free_bytes)


def test_room_is_kept_from_uploads_that_come_at_once(limited: Limited, monkeypatch: pytest.MonkeyPatch) -> None:
    with limited(min_free_bytes=5 << 20) as api:
        disk_of(api, monkeypatch, 14 << 20)
        statuses = at_once(6, lambda: api.submit(bytes(2 << 20)))
        assert set(statuses) == {202, 503}
        assert api.app.state.backends.blobs.free_bytes() >= 5 << 20


def test_what_an_upload_has_announced_is_kept_for_it(limited: Limited, monkeypatch: pytest.MonkeyPatch) -> None:
    with limited(min_free_bytes=1 << 20) as api:
        disk_of(api, monkeypatch, 8 << 20)
        with half_sent(api, 4 << 20), connect(api.settings.redis_url) as redis:
            wait_until(lambda: redis.hlen(UPLOADS_KEY) == 1, "the room to be reserved")
            refused(api.submit(bytes(4 << 20)), 503, "store_full")
            assert api.submit(b"small").status_code == 202
        wait_until(lambda: not refused_now(api), "the room to be freed")


def test_bytes_are_counted_as_they_come_where_no_length_is_told(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    with limited(min_free_bytes=5 << 20) as api:
        disk_of(api, monkeypatch, 20 << 20)
        kept_back = Event()
        kept_back.set()
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = api.http.post("/v1/jobs", content=body_of(18 << 20, kept_back, Event()), headers=headers)
        refused(answer, 503, "store_full")
        assert api.stored() == []
        answer = api.http.post("/v1/jobs", content=body_of(2 << 20, kept_back, Event()), headers=headers)
        assert answer.status_code == 202


def test_a_gateway_that_was_killed_frees_what_it_had_reserved(limited: Limited) -> None:
    with limited(with_keys=True, max_open_jobs=1, max_queued=1) as api, api.as_owner("anna") as anna:
        gone = new_job_id()
        with connect(api.settings.redis_url) as redis:  # what it leaves in Redis
            redis.hset(UPLOADS_KEY, gone, 1 << 50)
            redis.sadd("metseg:open:anna", gone)
            redis.set(HOLDER_KEY.format(gone), 0, px=1500)
            refused(anna.post("/v1/jobs", files=SCAN), 429, "quota_exceeded")
            until = time.monotonic() + 60
            while redis.exists(HOLDER_KEY.format(gone)) and time.monotonic() < until:
                time.sleep(0.05)
            assert anna.post("/v1/jobs", files=SCAN).status_code == 202
            assert redis.hlen(UPLOADS_KEY) == 0


def test_an_upload_that_fails_frees_what_it_had_reserved(limited: Limited) -> None:
    with (
        limited(with_keys=True, max_open_jobs=1, max_queued=1, max_uploads=1) as api,
        api.as_owner("anna") as anna,
    ):
        for _ in range(3):
            assert anna.post("/v1/jobs", files=SCAN, data={"threshold": "7"}).status_code == 422
        key = {"Idempotency-Key": "k"}
        assert anna.post("/v1/jobs", files=SCAN, headers=key).status_code == 202
        with connect(api.settings.redis_url) as redis:
            assert redis.hlen(UPLOADS_KEY) == 0
            assert redis.scard("metseg:open:anna") == 1


def hearts() -> list[str]:
    """The names of the threads that beat for jobs."""
    return [thread.name for thread in threading.enumerate() if "heart" in thread.name]


def test_so_many_uploads_are_taken_at_once_with_one_thread_for_all(limited: Limited) -> None:
    with limited(max_uploads=3) as api, ExitStack() as stack:
        beating = hearts()
        assert beating
        answers = [stack.enter_context(under_way(api, 1 << 16)) for _ in range(3)]
        refused(api.submit(), 503, "too_many_uploads")
        assert hearts() == beating
        stack.close()
        assert [answer.result(60).status_code for answer in answers] == [202] * 3
        assert api.submit().status_code == 202


def test_a_wiped_redis_learns_anew_of_uploads_under_way(limited: Limited) -> None:
    with limited() as api, under_way(api, 1 << 16) as answer:
        with connect(api.settings.redis_url) as redis:
            redis.flushall()
            until = time.monotonic() + 60
            while not redis.hlen(UPLOADS_KEY) and time.monotonic() < until:
                time.sleep(0.05)
            [job_id] = redis.hkeys(UPLOADS_KEY)
            assert redis.get(HOLDER_KEY.format(job_id.decode())) == b"0"
    assert answer.result(60).status_code == 202
