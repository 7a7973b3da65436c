"""Spans hang together, tell what is on the list, and never what an exception says."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from traces import line_of, named, spans_in

from metseg.errors import DamagedInputError, SettingsError
from metseg.logs import JsonLines
from metseg.tracing.api import OFF, Side, Tracer, TraceSettings
from metseg.tracing.open import open_tracer

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spans.jsonl"


@contextmanager
def tracing(path: Path) -> Iterator[Tracer]:
    with closing(open_tracer("test", TraceSettings(trace_file=path))) as tracer:
        yield tracer


def test_spans_lie_within_each_other_and_below_the_parent_that_came(path: Path) -> None:
    with tracing(path) as tracer, tracer.span("outer", parent=PARENT, side=Side.SERVER) as outer:
        assert outer.trace_id == TRACE
        with tracer.span("inner"):
            call = tracer.begin("call", side=Side.CLIENT)
        call.end("UNAVAILABLE")
    spans = spans_in(path)
    assert {span["trace_id"] for span in spans} == {TRACE}
    assert line_of(spans, named(spans, "call")) == ["call", "inner", "outer"]
    assert named(spans, "outer")["parent_id"] == PARENT.split("-")[2]
    assert [span["kind"] for span in spans] == ["server", "internal", "client"]
    assert [span["failed"] for span in spans] == [False, False, True]
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_process_goes_on_where_this_one_points_to(path: Path) -> None:
    with tracing(path) as tracer:
        with tracer.span("here") as here:
            told = here.traceparent
        with tracer.span("there", parent=told):
            pass
    spans = spans_in(path)
    assert line_of(spans, named(spans, "there")) == ["there", "here"]


@pytest.mark.parametrize("parent", ["", "x", "00-0-0-0", PARENT.upper() + "-x", "ff" + PARENT[2:], "Doe^John"])
def test_a_damaged_parent_is_none(path: Path, parent: str) -> None:
    with tracing(path) as tracer, tracer.span("alone", parent=parent):
        pass
    [span] = spans_in(path)
    assert span["parent_id"] is None
    assert "Doe" not in path.read_text()


def test_a_caller_that_does_not_want_to_be_traced_is_not(path: Path) -> None:
    with tracing(path) as tracer, tracer.span("quiet", parent=PARENT[:-2] + "00"):
        pass
    assert spans_in(path) == []


def test_only_listed_facts_are_told(path: Path) -> None:
    with tracing(path) as tracer, tracer.span("job", job_id="j", patient="Doe^John", status=None) as span:
        span.tell(file_name="Doe^John.nii", slices=8, route="r" * 999)
    [told] = spans_in(path)
    assert told["attributes"] == {"metseg.job_id": "j", "metseg.slices": 8, "http.route": "r" * 200}
    assert "Doe" not in path.read_text()


@pytest.mark.parametrize(
    ("error", "code"), [(DamagedInputError("Doe^John"), "input_damaged"), (ValueError("Doe^John"), "ValueError")]
)
def test_of_an_exception_only_the_code_is_told(path: Path, error: Exception, code: str) -> None:
    with tracing(path) as tracer, pytest.raises(type(error)), tracer.span("job"):
        raise error
    [span] = spans_in(path)
    assert span["failed"]
    assert span["attributes"] == {"metseg.code": code}
    assert "Doe" not in path.read_text()


def test_a_line_that_is_logged_within_a_span_names_its_trace(path: Path) -> None:
    record = logging.LogRecord("metseg", logging.INFO, "x.py", 1, "hello", None, None)
    with tracing(path) as tracer, tracer.span("job", parent=PARENT):
        assert json.loads(JsonLines().format(record))["trace_id"] == TRACE
    assert "trace_id" not in json.loads(JsonLines().format(record))


def test_without_a_place_for_spans_nothing_is_made_or_loaded() -> None:
    assert open_tracer("test", TraceSettings()) is OFF
    with OFF.span("job", parent=PARENT, job_id="j") as span:
        assert span.trace_id is span.traceparent is None
    program = (
        "import sys, metseg.serving.client, metseg.tracing.open as t; "
        "t.load_tracing(t.TraceSettings()); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "opentelemetry" not in loaded


@pytest.mark.parametrize(
    "environ", [{"METSEG_TRACE_FILE": "/dev/null/spans"}, {"METSEG_OTLP_ENDPOINT": "collector:4318"}]
)
def test_a_place_that_cannot_be_stops_the_start(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(environ))):
        open_tracer("test", TraceSettings.from_env(environ))


def test_a_collector_gets_the_spans_over_otlp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    came: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
            with closing(open_tracer("metseg-test", TraceSettings(otlp_endpoint=endpoint))) as tracer:
                with tracer.span("work", parent=PARENT, job_id="a job"):
                    pass
        finally:
            server.shutdown()
            thread.join()
    [(path, body)] = came
    assert path == "/v1/traces"
    for told in (b"metseg-test", b"work", b"metseg.job_id", b"a job", bytes.fromhex(TRACE)):
        assert told in body
