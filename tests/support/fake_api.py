"""A fake of the job API: it answers as `/v1` does, from memory, over a transport or a real socket."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from metseg.schemas.job import (
    Artefact,
    Failure,
    Job,
    JobRequest,
    JobState,
    ModelRef,
    Progress,
    Stage,
    WaitsFor,
    new_job_id,
)
from metseg.schemas.model_card import ModelCard

Files = dict[str, tuple[str, bytes]]
"""Name of an artefact to its media type and bytes."""

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class FakeJob:
    """A job that runs by the clock and ends as it was told to."""

    job_id: str
    run_s: float
    failure: Failure | None = None
    scans: int = 1
    files: Files = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    waits_for: WaitsFor | None = None
    cancelled: bool = False
    deleted: bool = False
    label: str | None = None

    def view(self) -> Job:
        now = datetime.now(UTC)
        done = 1.0 if self.run_s == 0 else min((time.monotonic() - self.began) / self.run_s, 1.0)
        state = JobState.RUNNING if done < 1 else JobState.FAILED if self.failure else JobState.SUCCEEDED
        state = JobState.CANCELLED if self.cancelled else state
        scan = min(int(done * self.scans), self.scans - 1)
        share = done * self.scans - scan
        stage = list(Stage)[min(int(share * 4), 3)]
        progress = Progress(
            stage=stage, scan=scan + 1, scans=self.scans, fraction=round(done, 2), slices_done=int(share * 80),
            slices_total=80, attempt=1, started_at=now, updated_at=now,
        )  # fmt: skip
        return Job(
            id=self.job_id,
            state=state,
            created_at=now - timedelta(seconds=time.monotonic() - self.began),
            attempt=1,
            model=ModelRef(name="attention_unet", version=1, digest="0" * 64),
            request=JobRequest(label=self.label),
            progress=None if state.is_final else progress,
            waits_for=None if state.is_final else self.waits_for,
            error=self.failure if state is JobState.FAILED else None,
        )


class FakeApi:
    """Keeps jobs in memory; every upload becomes a job with the files given here.

    Attributes:
        requests: method and path of everything that was asked.
        uploads: bodies of the uploads, as they came.
        scans: of each job, for its progress.
        busy: so many uploads are told to come back in a second.
        down: while true, a connection is refused (transport) or answered with 503 (socket).
    """

    def __init__(self, cards: list[ModelCard], files: Files | None = None, *, run_s: float = 0.0) -> None:
        self.cards = cards
        self.files = files or {}
        self.run_s = run_s
        self.failure: Failure | None = None
        self.scans = 1
        self.refusal: tuple[int, str, str] | None = None
        self.busy = 0
        self.jobs: dict[str, FakeJob] = {}
        self.requests: list[tuple[str, str]] = []
        self.uploads: list[bytes] = []
        self.down = False

    def add_job(self, *, failure: Failure | None = None, run_s: float = 0.0, job_id: str | None = None) -> str:
        job = FakeJob(job_id or new_job_id(), run_s, failure, self.scans, self.files)
        self.jobs[job.job_id] = job
        return job.job_id

    def transport(self) -> httpx.MockTransport:
        """The API without a network."""

        def handle(request: httpx.Request) -> httpx.Response:
            if self.down:
                raise httpx.ConnectError("refused", request=request)
            status, headers, body = self.answer(request.method, request.url.path, request.read(), request.headers)
            return httpx.Response(status, headers=headers, content=body)

        return httpx.MockTransport(handle)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The API on a free port of loopback; yields its address."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, method: str, path: str, body: bytes, headers: httpx.Headers) -> Answer:
        self.requests.append((method, path))
        if self.down:
            return problem(503, "store_unavailable", "The store cannot be used now.", {"Retry-After": "5"})
        words = path.strip("/").split("/")
        if path == "/readyz":
            return as_json({})
        if path == "/v1/models":
            items = [
                {"card": card.model_dump(mode="json"), "served": True, "default": i == 0, "state": "available"}
                for i, card in enumerate(self.cards)
            ]
            return as_json({"items": items, "serving_reachable": True})
        if path == "/v1/jobs":
            return self._submitted(body) if method == "POST" else self._listed()
        job = self.jobs.get(words[2]) if words[:2] == ["v1", "jobs"] and len(words) > 2 else None
        if job is None:
            return problem(404, "job_not_found", "There is no such job.")
        if job.deleted:
            return problem(410, "job_gone", "The job was deleted.")
        return self._of_job(job, method, words[3:], headers)

    def _submitted(self, body: bytes) -> Answer:
        if self.refusal:
            return problem(*self.refusal)
        if self.busy:
            self.busy -= 1
            return problem(503, "queue_full", "The queue is full.", {"Retry-After": "1"})
        self.uploads.append(body)
        job_id = self.add_job(failure=self.failure, run_s=self.run_s)
        _, begins, rest = body.partition(b'name="label"\r\n\r\n')
        self.jobs[job_id].label = rest.partition(b"\r\n")[0].decode() if begins else None
        return as_json(self.jobs[job_id].view().model_dump(mode="json"), status=202)

    def _listed(self) -> Answer:
        items = [self.jobs[job_id].view().model_dump(mode="json") for job_id in sorted(self.jobs, reverse=True)]
        return as_json({"items": items, "next_cursor": None, "links": {}})

    def _of_job(self, job: FakeJob, method: str, rest: list[str], headers: httpx.Headers) -> Answer:
        if method == "DELETE":
            job.deleted = True
            return 204, {}, b""
        if rest == ["cancel"]:
            job.cancelled = True
        if rest and rest[0] == "result":
            return self._result(job, rest[1:])
        view = job.view()
        content = view.model_dump_json(exclude={"progress": {"updated_at", "started_at"}, "created_at": True})
        tag = f'"{hashlib.sha256(content.encode()).hexdigest()[:16]}"'
        if headers.get("if-none-match") == tag:
            return 304, {"ETag": tag}, b""
        return as_json(view.model_dump(mode="json"), headers={"ETag": tag})

    def _result(self, job: FakeJob, rest: list[str]) -> Answer:
        if rest and rest[0] in job.files:
            media_type, content = job.files[rest[0]]
            if media_type == "application/json":
                content = content.replace(b"JOB_ID", job.job_id.encode())
            return 200, {"Content-Type": media_type}, content
        if rest:
            return problem(404, "artefact_not_found", "The job has no artefact of that name.")
        items = []
        for name, (media_type, content) in job.files.items():
            content = content.replace(b"JOB_ID", job.job_id.encode()) if name == "report.json" else content
            entry = Artefact(
                name=name,
                media_type=media_type,
                size_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
            items.append(entry.model_dump() | {"href": f"/v1/jobs/{job.job_id}/result/{name}"})
        return as_json({"job_id": job.job_id, "artefacts": items})


def as_json(content: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return status, {"Content-Type": "application/json"} | (headers or {}), json.dumps(content).encode()


def problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> Answer:
    """A problem as the API words it (RFC 9457)."""
    content = {
        "type": f"urn:metseg:problem:{code.replace('_', '-')}",
        "title": code.replace("_", " ").capitalize(),
    }
    content |= {"status": str(status), "detail": detail, "code": code}
    return status, {"Content-Type": "application/problem+json"} | (headers or {}), json.dumps(content).encode()


def _handler_for(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b"".join(self._chunks())
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, headers, content = api.answer(
                self.command, self.path.partition("?")[0], body, httpx.Headers(list(self.headers.items()))
            )
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status not in (204, 304):
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if status not in (204, 304):
                self.wfile.write(content)

        do_GET = do_POST = do_DELETE = handle_any

        def _chunks(self) -> Iterator[bytes]:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
