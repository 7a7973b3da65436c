"""Webhooks, whatever dies between a job's end and its delivery."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import httpx
import pytest
from api_service import ApiService, StatusServer, api_settings, serving, write_cards
from redis_fixture import RedisServer
from webhook_receiver import Receiver, wait_until

from metseg.jobs.store import JobStore
from metseg.schemas.job import JobResult, JobState
from metseg.storage.open import open_blob_store
from metseg_api.backends import Backends
from metseg_api.settings import ApiSettings
from metseg_api.webhooks import deliveries, delivery_loop
from metseg_api.webhooks.secrets import SecretBook

CANARY = "MUSTERMANN_ERIKA_19450203"


@pytest.fixture
def settings(tmp_path: Path, redis_server: RedisServer, own_status_server: StatusServer) -> ApiSettings:
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    place = {"redis_url": redis_server.url, "serving_at": own_status_server.target}
    made = api_settings(tmp_path, **place, webhook_hosts="localhost")
    SecretBook(open_blob_store(made.store)).rotate(None)
    return made


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(delivery_loop, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(delivery_loop, "LOST_S", 0.5)
    monkeypatch.setattr(deliveries, "PAUSES", (timedelta(seconds=0.1),) * 3)
    return monkeypatch


@contextmanager
def process(settings: ApiSettings, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`metseg-api` as a process of its own, which may be killed."""
    given = {f"METSEG_{name.upper()}": str(getattr(settings, name)) for name in settings.model_fields_set}
    others = {name: value for name, value in os.environ.items() if not name.startswith("METSEG_")}
    with log.open("ab") as out:
        handle = subprocess.Popen(
            [sys.executable, "-m", "metseg_api"], env=others | given, stdout=out, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{settings.api_port}"
    try:
        wait_until(lambda: _answers(url), 120)
        yield handle, url
    finally:
        handle.kill()
        handle.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def submitted(url: str, hook: str) -> str:
    answer = httpx.post(
        f"{url}/v1/jobs", files={"file": (f"{CANARY}.nii", b"scan")}, data={"webhook_url": hook}, timeout=30
    )
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def end(store: str, job_id: str) -> None:
    now = datetime.now(UTC)
    assert JobStore(open_blob_store(store)).finish(
        JobResult(job_id=job_id, state=JobState.SUCCEEDED, finished_at=now)
    )


def outcomes(api: ApiService, job_id: str) -> list[str]:
    path = f"/v1/jobs/{job_id}/webhook"
    wait_until(lambda: api.http.get(path).json()["state"] != "pending")
    return [one["outcome"] for one in api.http.get(path).json()["attempts"]]


@pytest.mark.slow
def test_an_api_that_dies_in_an_attempt_or_before_it_and_a_wiped_redis_lose_no_delivery(
    settings: ApiSettings, redis_server: RedisServer, tmp_path: Path, hurry: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "api.log"
    with Receiver().serving() as receiver:
        receiver.silent_s = 3
        with process(settings, log) as (handle, url):
            interrupted, untold = submitted(url, receiver.url), submitted(url, receiver.url)
            end(settings.store, interrupted)
            receiver.wait_for(1)
            handle.kill()
            handle.wait()
        redis_server.stop()
        redis_server.start()
        end(settings.store, untold)
        receiver.silent_s = 0
        with serving(settings) as api:
            assert outcomes(api, untold) == ["delivered"]
            assert outcomes(api, interrupted) == ["lost", "delivered"]
            wait_until(lambda: api.jobs.blobs.names("webhooks/due") == [])
        ids = [call.headers["webhook-id"] for call in receiver.calls]
    assert sorted(ids) == sorted([f"msg_{interrupted}"] * 2 + [f"msg_{untold}"])
    written = log.read_text()
    assert "POST" in written
    assert "/hooks" not in written
    assert CANARY not in written


def test_of_many_apis_one_tells_each_end(settings: ApiSettings, hurry: pytest.MonkeyPatch) -> None:
    with Receiver().serving() as receiver, serving(settings) as api:
        others = [Backends.open(settings) for _ in range(2)]

        async def all_at_once() -> None:
            with anyio.fail_after(60):
                async with anyio.create_task_group() as beside:
                    for backends in others:
                        beside.start_soon(backends.delivery_loop.run)
                    while api.jobs.blobs.names("webhooks/due"):
                        await anyio.sleep(0.05)
                    beside.cancel_scope.cancel()

        job_ids = [submitted(api.url, receiver.url) for _ in range(5)]
        for job_id in job_ids:
            end(settings.store, job_id)
        anyio.run(all_at_once)
        assert [outcomes(api, job_id) for job_id in job_ids] == [["delivered"]] * 5
        for backends in others:
            backends.close()
    assert sorted(call.headers["webhook-id"] for call in receiver.calls) == [f"msg_{one}" for one in job_ids]


def test_an_api_that_is_told_to_stop_leaves_its_attempt_to_the_next_at_once(
    settings: ApiSettings, hurry: pytest.MonkeyPatch
) -> None:
    hurry.setattr(delivery_loop, "LOST_S", 3600)
    with Receiver().serving() as receiver:
        receiver.silent_s = 3
        with serving(settings) as api:
            job_id = submitted(api.url, receiver.url)
            end(settings.store, job_id)
            receiver.wait_for(1)
        receiver.silent_s = 0
        with serving(settings) as api:
            assert outcomes(api, job_id) == ["lost", "delivered"]


def test_a_wish_whose_job_never_came_is_dropped_in_the_end(
    settings: ApiSettings, hurry: pytest.MonkeyPatch
) -> None:
    with serving(settings) as api:
        wish = api.jobs.blobs
        api_deliveries = deliveries.Deliveries(api.jobs)
        api_deliveries.ask("019d0000-1111-7222-8333-444455556666")
        time.sleep(0.3)
        assert wish.names("webhooks/due"), "dropped while its job may still come"
        hurry.setattr(delivery_loop, "UNCREATED_S", 0.1)
        wait_until(lambda: wish.names("webhooks/due") == [])
