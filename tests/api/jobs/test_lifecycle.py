"""What the API does for a job to end once and to be gone in time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from api_service import ApiService, StatusServer, api_settings, problem, serving, write_cards
from outages import FolderOutage
from redis import Redis
from redis_fixture import RedisServer
from standin import wait_for

from metseg.jobs.store import JobStore
from metseg.queue import reconciler
from metseg.queue.heartbeats import JobLeases
from metseg.schemas.job import KEPT_S, JobResult, JobState, new_job_id
from metseg.storage.open import open_blob_store

BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}


def upload(*pieces: bytes | None, meanwhile: object = None) -> Iterator[bytes]:
    """A form of one file; at a None, `meanwhile` is called."""
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    for piece in pieces:
        if piece is None:
            meanwhile()
        else:
            yield piece
    yield b"\r\n--b--\r\n"


def test_a_job_tells_when_it_expires_and_is_gone_from_then_on(api: ApiService) -> None:
    job_id = api.submitted()
    told = api.http.get(f"/v1/jobs/{job_id}").json()
    span = datetime.fromisoformat(told["expires_at"]) - datetime.fromisoformat(told["created_at"])
    assert span == timedelta(seconds=KEPT_S)
    record = api.jobs.load(job_id)
    finished_at = record.created_at + timedelta(seconds=1)
    assert api.jobs.finish(JobResult(job_id=job_id, state=JobState.CANCELLED, finished_at=finished_at))
    told = api.http.get(f"/v1/jobs/{job_id}").json()
    assert datetime.fromisoformat(told["expires_at"]) == finished_at + timedelta(seconds=KEPT_S)
    expired = record.model_copy(update={"id": new_job_id(), "kept_s": 0.001})
    api.jobs.create(expired)
    problem(api.http.get(f"/v1/jobs/{expired.id}"), 410, "job_gone")
    problem(api.http.get(f"/v1/jobs/{expired.id}/result"), 410, "job_gone")


def test_what_another_api_does_to_a_job_is_seen_at_the_next_look(api: ApiService) -> None:
    job_id = api.submitted()
    assert api.http.get(f"/v1/jobs/{job_id}").json()["state"] == "queued"
    other = JobStore(open_blob_store(api.settings.store))
    other.claim(job_id, 1)
    other.ask_cancel(job_id)
    running = api.http.get(f"/v1/jobs/{job_id}").json()
    assert (running["state"], running["cancel_requested"]) == ("running", True)
    other.finish(JobResult(job_id=job_id, state=JobState.CANCELLED, finished_at=datetime.now(UTC)))
    assert api.http.get(f"/v1/jobs/{job_id}").json()["state"] == "cancelled"
    other.erase(job_id)
    problem(api.http.get(f"/v1/jobs/{job_id}"), 410, "job_gone")


def test_many_who_ask_at_once_for_several_jobs_are_each_answered_for_their_own(api: ApiService) -> None:
    ended, gone, waiting = (api.submitted() for _ in range(3))
    api.jobs.finish(JobResult(job_id=ended, state=JobState.CANCELLED, finished_at=datetime.now(UTC)))
    api.jobs.erase(gone)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda one: httpx.get(f"{api.url}/v1/jobs/{one}"), [ended, gone, waiting] * 8))
    seen = {(one.status_code, one.json().get("id"), one.json().get("state")) for one in answers}
    assert seen == {(200, ended, "cancelled"), (410, None, None), (200, waiting, "queued")}


def test_while_the_store_is_away_no_job_is_told_to_be_none(own_api: ApiService) -> None:
    job_id = own_api.submitted()
    outage = FolderOutage(own_api.store)
    outage.begin()
    for path in (f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}/result", "/v1/jobs"):
        problem(own_api.http.get(path), 503, "store_unavailable")
    assert own_api.submit().status_code == 503
    outage.end()
    assert own_api.http.get(f"/v1/jobs/{job_id}").json()["state"] == "queued"


def test_a_cancel_outlives_redis(api: ApiService) -> None:
    job_id = api.submitted()
    assert api.jobs.claim(job_id, 1)
    assert api.http.post(f"/v1/jobs/{job_id}/cancel").json()["cancel_requested"]
    api.dispatcher.forget(job_id)
    assert api.http.get(f"/v1/jobs/{job_id}").json()["cancel_requested"]


def test_an_upload_is_held_while_it_is_on_the_way(api: ApiService) -> None:
    holders = JobLeases(api.settings.redis_url)
    held: list[bool] = []

    def look() -> None:
        wait_for(lambda: api.jobs.blobs.names("jobs"))
        [job_id] = api.jobs.blobs.names("jobs")
        held.append(holders.is_held(job_id))

    body = upload(b"scan", b" " * (1 << 20), None, b"bytes", meanwhile=look)
    job_id = api.http.post("/v1/jobs", content=body, headers=BOUNDARY).json()["id"]
    assert held == [True]
    assert not holders.is_held(job_id)
    holders.close()


def test_an_upload_that_was_taken_for_abandoned_is_never_answered_with_202(api: ApiService) -> None:
    def abandon() -> None:
        wait_for(lambda: api.jobs.blobs.names("jobs"))
        [job_id] = api.jobs.blobs.names("jobs")
        api.jobs.abandon(job_id)

    body = upload(b"scan", b" " * (1 << 20), None, b"bytes", meanwhile=abandon)
    answer = api.http.post("/v1/jobs", content=body, headers=BOUNDARY)
    assert answer.status_code in (410, 503)
    assert api.jobs.ids() == []


def test_the_api_looks_after_jobs_that_nobody_has(
    tmp_path: Path, redis_server: RedisServer, own_status_server: StatusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "UNHELD_S", 0.2)
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    settings = api_settings(tmp_path, redis_url=redis_server.url, serving_at=own_status_server.target)
    with serving(settings) as own_api:
        job_id = own_api.submitted()
        with Redis.from_url(redis_server.url) as redis:
            redis.flushall()
        wait_for(own_api.dispatcher.queue_length)
        assert own_api.dispatcher.waiting() == {job_id}
    with Redis.from_url(redis_server.url) as redis:
        assert not redis.exists("metseg:reconciler"), "the next one may lead at once"
