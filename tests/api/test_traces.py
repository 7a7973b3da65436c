"""What the API reports of a request to those who collect traces."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_service import ApiService, StatusServer, api_settings, problem, serving, write_cards
from redis_fixture import RedisServer
from traces import Spans, line_of, named, spans_in
from webhook_receiver import wait_until

from metseg.logs import JsonLines
from metseg.schemas.job import new_job_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "tracestate": "a=Doe", "baggage": "name=Doe"}


@pytest.fixture
def traced(tmp_path: Path, shared_redis: RedisServer, own_status_server: StatusServer) -> Iterator[ApiService]:
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    settings = api_settings(
        tmp_path,
        redis_url=shared_redis.url,
        serving_at=own_status_server.target,
        trace_file=tmp_path / "spans.jsonl",
    )
    with serving(settings) as running:
        yield running


def spans_of(api: ApiService, requests: int) -> Spans:
    """The spans once those of so many requests are there; a request's own ends after its answer is sent."""
    path = api.settings.trace_file
    assert path is not None

    def all_there() -> bool:
        api.app.state.backends.tracer._provider.force_flush()
        return sum(span["kind"] == "server" for span in spans_in(path)) >= requests

    wait_until(all_there, within_s=10)
    return spans_in(path)


def test_a_request_goes_on_with_the_trace_of_its_sender_and_names_it(traced: ApiService) -> None:
    answer = traced.http.post("/v1/jobs", files={"file": ("Doe.nii", b"scan")}, headers=SENT)
    assert answer.status_code == 202
    assert answer.headers["x-trace-id"] == TRACE
    job_id = answer.json()["id"]
    spans = spans_of(traced, 1)
    assert {span["trace_id"] for span in spans} == {TRACE}
    queued = named(spans, "enqueue")
    assert line_of(spans, queued) == ["enqueue", "POST /v1/jobs"]
    assert named(spans, "POST /v1/jobs")["parent_id"] == SENT["traceparent"].split("-")[2]
    assert traced.jobs.load(job_id).traceparent == f"00-{TRACE}-{queued['span_id']}-01"


def test_a_trace_tells_of_routes_and_ids_and_not_of_what_was_sent(traced: ApiService) -> None:
    job_id = traced.submitted()
    traced.http.get(f"/v1/jobs/{job_id}?name=Doe", headers=SENT)
    traced.http.get("/v1/jobs/Doe/Doe?Doe", headers={"User-Agent": "Doe"})
    traced.http.get("/v1/jobs/Doe")
    traced.http.request("DOE", "/v1/jobs")
    spans = spans_of(traced, 5)
    assert [span["name"] for span in spans if span["kind"] == "server"] == [
        "POST /v1/jobs",
        "GET /v1/jobs/{job_id}",
        "GET unknown",
        "GET /v1/jobs/{job_id}",
        "other /v1/jobs",
    ]
    attributes = spans[-4]["attributes"]
    assert set(attributes) == {
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "metseg.job_id",
        "metseg.request_id",
    }
    assert attributes["metseg.job_id"] == job_id
    assert "doe" not in json.dumps(spans).lower()


def test_a_problem_names_its_trace_and_so_does_the_log(
    traced: ApiService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    caplog.handler.setFormatter(JsonLines())
    answer = traced.http.get(f"/v1/jobs/{new_job_id()}", headers=SENT)
    problem(answer, 404, "job_not_found")
    assert answer.headers["x-trace-id"] == TRACE
    wait_until(lambda: "metseg_api.middleware" in caplog.text)  # it is logged once the answer has left
    lines = [json.loads(line) for line in caplog.text.splitlines() if '"metseg_api.middleware"' in line]
    assert [line["trace_id"] for line in lines] == [TRACE]


def test_probes_are_not_traced(traced: ApiService) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert "x-trace-id" not in traced.http.get(path).headers
    assert spans_of(traced, 0) == []


def test_a_gateway_that_traces_nothing_names_no_trace(api: ApiService) -> None:
    answer = api.http.get("/v1/jobs", headers=SENT)
    assert "x-trace-id" not in answer.headers
    assert api.jobs.load(api.submitted()).traceparent is None
