"""The API as a real server on a free port, with a real store and Redis, and the status side of TF Serving."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
import httpx
import uvicorn
from fastapi import FastAPI
from openapi_document import own_document
from redis_fixture import free_port

from metseg.jobs.store import JobStore
from metseg.queue.dispatcher import Dispatcher
from metseg.schemas.job import Artefact, JobResult, JobState
from metseg.schemas.model_card import ModelCard, Preprocessing
from metseg.serving.proto import serving_wire_pb2 as wire
from metseg.storage.open import open_blob_store
from metseg_api.__main__ import listen
from metseg_api.app import create_app
from metseg_api.auth.api_keys import KeyFile, Scope
from metseg_api.server import server_config
from metseg_api.settings import ApiSettings


class StatusServer:
    """TF Serving as far as the API sees it: GetModelStatus over real gRPC."""

    def __init__(self, versions: Mapping[str, list[int]]) -> None:
        self.versions = dict(versions)
        handler = grpc.unary_unary_rpc_method_handler(
            self._status,
            request_deserializer=wire.GetModelStatusRequest.FromString,
            response_serializer=wire.GetModelStatusResponse.SerializeToString,
        )
        self._pool = ThreadPoolExecutor(2)
        self._server = grpc.server(self._pool)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("tensorflow.serving.ModelService", {"GetModelStatus": handler}),)
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._server.stop(None).wait()
        self._pool.shutdown()

    def _status(
        self, request: wire.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> wire.GetModelStatusResponse:
        name = request.model_spec.name
        if name not in self.versions:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
        available = wire.ModelVersionStatus.State.AVAILABLE
        states = [wire.ModelVersionStatus(version=one, state=available) for one in self.versions[name]]
        return wire.GetModelStatusResponse(model_version_status=states)


@dataclass
class ApiService:
    """A running API and what a test needs to look behind it."""

    url: str
    app: FastAPI
    settings: ApiSettings
    http: httpx.Client
    jobs: JobStore
    dispatcher: Dispatcher
    server: uvicorn.Server

    @property
    def store(self) -> Path:
        return Path(self.settings.store)

    def as_owner(self, owner: str, *scopes: Scope) -> httpx.Client:
        """A client with a key of its own."""
        _, shown = KeyFile(self.settings.keys).create(owner, scopes or (Scope.SUBMIT, Scope.READ))
        return client_of(self.url, {"Authorization": f"Bearer {shown}"})

    def submit(self, data: bytes = b"scan bytes", key: str | None = None, **fields: str) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.http.post("/v1/jobs", files={"file": ("scan.nii", data)}, data=fields, headers=headers)

    def submitted(self) -> str:
        answer = self.submit()
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def stored(self) -> list[str]:
        """Every file and folder below `jobs`, hidden ones included, and idempotency keys; not the audit trail."""
        paths = sorted(str(path.relative_to(self.store)) for path in self.store.rglob("*") if path.name != "jobs")
        return [path for path in paths if path.split("/")[0] != "audit"]

    def succeed(self, job_id: str, artefacts: Mapping[str, bytes], scratch: Path) -> None:
        """What a worker does, without its work."""
        began = datetime.now(UTC)
        assert self.jobs.claim(job_id, 1)
        made: list[Artefact] = []
        for name, data in artefacts.items():
            (scratch / name).write_bytes(data)
            made.append(self.jobs.put_artefact(job_id, 1, scratch / name, "application/octet-stream"))
        final = JobResult(
            job_id=job_id,
            state=JobState.SUCCEEDED,
            attempt=1,
            started_at=began,
            finished_at=datetime.now(UTC),
            artefacts=made,
        )
        assert self.jobs.finish(final)


@contextmanager
def serving(settings: ApiSettings) -> Iterator[ApiService]:
    """Run the application under uvicorn in a thread."""
    app = create_app(settings)
    listener = listen("127.0.0.1", settings.api_port)
    server = uvicorn.Server(server_config(app, settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    until = time.monotonic() + 20
    while not server.started and thread.is_alive() and time.monotonic() < until:
        time.sleep(0.01)
    assert server.started
    url = f"http://127.0.0.1:{settings.api_port}"
    dispatcher = Dispatcher(settings.redis_url)
    jobs = JobStore(open_blob_store(settings.store))
    try:
        with client_of(url) as http:
            yield ApiService(url, app, settings, http, jobs, dispatcher, server)
    finally:
        dispatcher.close()
        server.should_exit = True
        thread.join(timeout=20)
        listener.close()


def client_of(url: str, headers: Mapping[str, str] | None = None) -> httpx.Client:
    """A client to which every answer that the OpenAPI document does not tell of is a failure."""
    hooks = {"response": [own_document().check]}
    return httpx.Client(base_url=url, timeout=30, headers=headers, event_hooks=hooks)


def api_settings(folder: Path, *, redis_url: str, serving_at: str, **more: object) -> ApiSettings:
    """Settings with the store and the models in a folder of the test."""
    given = {
        "api_port": free_port(),
        "store": str(folder / "store"),
        "models": folder / "models",
        "keys": folder / "keys.json",
        "redis_url": redis_url,
        "serving": serving_at,
    }
    return ApiSettings.model_validate(given | more)


def write_cards(models: Path, versions: Mapping[str, list[int]]) -> None:
    """A folder of models that holds nothing but their cards."""
    for name, numbers in versions.items():
        for number in numbers:
            folder = models / name / str(number) / "assets.extra"
            folder.mkdir(parents=True)
            _card(name, number).write(folder / "card.json")


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    """The problem of an answer, after checking that it is a whole and honest one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, object] = json.loads(answer.text)
    assert said["code"] == code, said
    assert said["status"] == status
    assert said["type"] == "urn:metseg:problem:" + code.replace("_", "-")
    assert said["instance"] == "urn:uuid:" + answer.headers["x-request-id"]
    assert said["title"]
    assert str(said["detail"]).endswith(".")
    assert answer.headers["x-content-type-options"] == "nosniff"
    return said


def _card(name: str, version: int) -> ModelCard:
    return ModelCard(
        name=name,
        version=version,
        network=name,
        preset="small",
        preprocessing=Preprocessing(),
        threshold=0.5,
        min_lesion_mm3=5,
        min_lesion_px=4,
        parameters=1,
        gflop_per_slice=1,
        training_data=[],
        scores=[],
        weights_sha256=f"{version:064x}",
        software={},
        intended_use="tests",
        limits=[],
        licence="CC-BY-4.0",
        created_at=datetime(2026, 11, 1, tzinfo=UTC),
    )
