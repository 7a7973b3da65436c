"""One job is one trace, from the sender's request through API and worker to each call of the model server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from phantoms import png
from redis_fixture import free_port
from traces import line_of, named, spans_in
from workplace import Workplace, wait_for

pytestmark = pytest.mark.slow

PREDICT = "tensorflow.serving.PredictionService/Predict"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@contextmanager
def running(*commands: str, environment: dict[str, str], log: Path) -> Iterator[None]:
    """Services as processes of their own."""
    with log.open("ab") as file, ExitStack() as ending:
        for command in commands:
            process = subprocess.Popen([sys.executable, "-m", command], env=environment, stderr=file)
            ending.callback(process.wait, 30)
            ending.callback(process.terminate)
        yield


def end_of(address: str) -> str | None:
    """How a job ended; None while it has not."""
    job = httpx.get(address, timeout=30).json()
    return str(job["error"] or job["state"]) if job["finished_at"] else None


def test_one_job_is_one_trace_over_three_processes(place: Workplace, tmp_path: Path) -> None:
    port, path, log = free_port(), tmp_path / "spans.jsonl", tmp_path / "log"
    api = f"http://127.0.0.1:{port}"
    environment = os.environ | place.environment()
    environment |= {
        "METSEG_API_PORT": str(port),
        "METSEG_TRACE_FILE": str(path),
        "METSEG_KEYS": str(tmp_path / "k"),
    }
    with running("metseg_api", "metseg_worker", environment=environment, log=log):
        wait_for(lambda: log.exists() and _answers(f"{api}/healthz"))
        files = {"file": ("Doe^John.png", png())}
        answer = httpx.post(f"{api}/v1/jobs?name=Doe", files=files, headers={"traceparent": PARENT}, timeout=30)
        assert answer.status_code == 202, answer.text
        job_id = answer.json()["id"]
        assert wait_for(lambda: end_of(f"{api}/v1/jobs/{job_id}")) == "succeeded"
    spans = [span for span in spans_in(path) if span["trace_id"] == TRACE]
    api = ["enqueue", "POST /v1/jobs"]
    for stage in ("read", "prepare", "predict", "finish"):
        assert line_of(spans, named(spans, stage)) == [stage, "attempt", *api]
    calls = [span for span in spans if span["name"] == PREDICT]
    assert line_of(spans, calls[0]) == [PREDICT, "predict", "attempt", *api]
    assert place.serving.traceparents == [f"00-{TRACE}-{call['span_id']}-01" for call in calls]
    attempt = named(spans, "attempt")
    told = {"metseg.job_id": job_id, "metseg.attempt": 1, "metseg.state": "succeeded"}
    assert attempt["attributes"] | told == attempt["attributes"]
    assert {span["service"] for span in spans} == {"metseg-api", "metseg-worker"}
    assert not any(span["failed"] for span in spans)
    assert "Doe" not in path.read_text()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line.get("trace_id") for line in lines if line["message"] == "attempt ended"} == {TRACE}


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=30).status_code == 200
    except httpx.TransportError:
        return False
