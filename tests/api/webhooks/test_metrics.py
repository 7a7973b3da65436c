"""What an operator sees of webhooks: figures, and spans below those of their jobs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from api_service import ApiService, StatusServer, api_settings, serving, write_cards
from redis_fixture import RedisServer
from traces import line_of, spans_in
from webhook_receiver import Receiver, wait_until

from metseg.schemas.job import JobResult, JobState
from metseg_api.webhooks import deliveries, delivery_loop
from metseg_api.webhooks.secrets import SecretBook

CANARY = "MUSTERMANN_ERIKA_19450203"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def watched(
    tmp_path: Path,
    shared_redis: RedisServer,
    own_status_server: StatusServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ApiService]:
    """An API that delivers in a hurry and writes its spans into a file."""
    monkeypatch.setattr(delivery_loop, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(deliveries, "PAUSES", (timedelta(seconds=0.1),) * 3)
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    place = {"redis_url": shared_redis.url, "serving_at": own_status_server.target}
    more = {"webhook_hosts": "localhost", "trace_file": tmp_path / "spans.jsonl"}
    with serving(api_settings(tmp_path, **place, **more)) as running:
        SecretBook(running.jobs.blobs).rotate(None)
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as running:
        yield running


def told_of_its_end(api: ApiService, receiver: Receiver, *answers: int) -> str:
    """A job whose receiver answered so, and nothing more is to be delivered."""
    receiver.answers = list(answers)
    sent = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    job = api.http.post(
        "/v1/jobs", files={"file": (CANARY, b"scan")}, data={"webhook_url": receiver.url + CANARY}, headers=sent
    )
    job_id: str = job.json()["id"]
    api.jobs.finish(JobResult(job_id=job_id, state=JobState.CANCELLED, finished_at=datetime.now(UTC)))
    wait_until(lambda: api.http.get(f"/v1/jobs/{job_id}/webhook").json()["state"] != "pending")
    wait_until(lambda: api.jobs.blobs.names("webhooks/due") == [])
    return job_id


def figures(api: ApiService) -> dict[str, float]:
    page = api.http.get("/metrics").text
    assert CANARY not in page
    lines = [line.split(" ") for line in page.splitlines() if line.startswith("metseg_webhook")]
    return {name: float(value) for name, value in lines}


def test_attempts_repetitions_delay_and_what_was_given_up_are_counted(
    watched: ApiService, receiver: Receiver
) -> None:
    assert set(figures(watched).values()) == {0.0}, "there from the beginning, so that the first one is a change"
    told_of_its_end(watched, receiver, 500, 204)
    told_of_its_end(watched, receiver, 410)
    told = figures(watched)
    assert 0.1 < told.pop("metseg_webhook_delay_seconds_sum") < 30
    assert {name: value for name, value in told.items() if value} == {
        'metseg_webhook_attempts_total{outcome="delivered"}': 1,
        'metseg_webhook_attempts_total{outcome="bad_status"}': 2,
        "metseg_webhook_retries_total": 1,
        "metseg_webhooks_given_up_total": 1,
        "metseg_webhook_delay_seconds_count": 1,
    }


def test_each_attempt_is_a_span_of_its_jobs_trace(watched: ApiService, receiver: Receiver) -> None:
    job_id = told_of_its_end(watched, receiver, 500, 204)
    watched.app.state.backends.tracer._provider.force_flush()
    file = watched.settings.trace_file
    spans = spans_in(file)
    attempts = [span for span in spans if span["name"] == "webhook"]
    assert [line_of(spans, one) for one in attempts] == [["webhook", "enqueue", "POST /v1/jobs"]] * 2
    assert {(one["trace_id"], one["kind"]) for one in attempts} == {(TRACE, "client")}
    failed = {"metseg.job_id": job_id, "metseg.attempt": 1, "metseg.code": "bad_status"}
    assert [one["attributes"] for one in attempts] == [
        failed | {"http.response.status_code": 500},
        {"metseg.job_id": job_id, "metseg.attempt": 2, "http.response.status_code": 204},
    ]
    assert CANARY not in file.read_text()
