"""The loop of the shell quick start in the guide, run against answers that must not be asked for again at once."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.local.settings import ROOT

JOB = "019d0000-1111-7222-8333-444455556666"
Answer = tuple[int, dict[str, str]]


@contextmanager
def answering(*answers: Answer) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers in turn, the last one for ever; and the paths that it was asked for."""
    left, asked = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, told = left.pop(0) if len(left) > 1 else left[0]
            body = json.dumps(told, separators=(",", ":")).encode()
            self.send_response(status)
            if status == 503:
                self.send_header("Retry-After", "1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def waited(api: str) -> str:
    """What the second step of the guide's quick start prints for a job."""
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    guide = (ROOT / "docs" / "api.md").read_text()
    ask = re.search(r"^ask=.*$", guide, re.MULTILINE)
    step = re.search(r"^# 2\. .*?(?=^# 3\. )", guide, re.MULTILINE | re.DOTALL)
    assert ask is not None
    assert step is not None
    script = f"API={api}\njob={JOB}\n{ask[0]}\n{step[0]}"
    ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=60)
    return ran.stdout


@pytest.mark.parametrize("status", [401, 404, 410])
def test_the_loop_ends_at_an_error_that_lasts(status: int) -> None:
    with answering((status, {"code": "some_problem"})) as (api, asked):
        assert "some_problem" in waited(api)
    assert asked == [f"/v1/jobs/{JOB}"]


def test_the_loop_goes_on_until_the_job_has_ended_also_over_a_gateway_without_room() -> None:
    answers = [(200, {"state": "queued"}), (503, {"code": "queue_full"}), (200, {"state": "running"})]
    with answering(*answers, (200, {"state": "failed"})) as (api, asked):
        assert waited(api).endswith('{"state":"failed"}\n')
    assert len(asked) == 4
