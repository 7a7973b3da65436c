"""The API on one core, with a real Redis and store, and what stands in for worker and TF Serving."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
import psutil

from deploy.local.ports import free_port
from deploy.local.redis_server import find_redis, redis_command
from deploy.local.settings import ROOT, StackSettings
from metseg.jobs.store import JobStore
from metseg.queue.dispatcher import Dispatcher
from metseg.queue.heartbeats import JobLeases
from metseg.schemas.job import DEFAULT_MODEL, JobRecord, ModelRef, Progress, Stage, new_job_id
from metseg.schemas.job import JobRequest as ReadOptions
from metseg.schemas.model_card import CARD_PATH, ModelCard
from metseg.serving.proto import serving_wire_pb2 as wire
from metseg.storage.open import open_blob_store

STARTED_WITHIN_S = 60.0
CARD = ROOT / "models" / "weights" / f"{DEFAULT_MODEL}-1.card.json"


@dataclass
class Rig:
    """Both servers on the same core, one of them asked at a time.

    Attributes:
        api, bare: Their processes.
        api_port, bare_port: Where they listen.
        jobs, dispatcher: The API's own store and queue, through which jobs are made and moved on.
    """

    api: psutil.Process
    bare: psutil.Process
    api_port: int
    bare_port: int
    jobs: JobStore
    dispatcher: Dispatcher
    holders: JobLeases
    beats: ExitStack

    def running_job(self) -> str:
        """A job that a worker seems to be at work on."""
        job_id = new_job_id()
        model = ModelRef(name=DEFAULT_MODEL, version=1, digest=ModelCard.read(CARD).digest)
        self.jobs.create(
            JobRecord(id=job_id, created_at=datetime.now(UTC), request=ReadOptions(), model=model, inputs=[])
        )
        self.jobs.claim(job_id, 1)
        self.beats.enter_context(self.holders.holding(job_id, 1))  # else the reconciler gives it to another
        self.move_on(job_id, 0.0)
        return job_id

    def move_on(self, job_id: str, fraction: float) -> None:
        """Tell a job's progress as its worker does."""
        now = datetime.now(UTC)
        told = Progress(stage=Stage.PREDICT, fraction=fraction, attempt=1, started_at=now, updated_at=now)
        self.dispatcher.write_progress(job_id, told)

    @contextmanager
    def busy(self, job_ids: Sequence[str], every_s: float = 0.5) -> Iterator[None]:
        """Move jobs on, as long as this lasts."""
        done = threading.Event()

        def work() -> None:
            number = 0
            while not done.wait(every_s):
                number += 1
                for job_id in job_ids:
                    self.move_on(job_id, number % 100 / 100)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@contextmanager
def rig(folder: Path) -> Iterator[Rig]:
    """Start everything, and end it again; the servers share one core, all else has the others."""
    first, *others = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        serving_port = stack.enter_context(_model_status())
        settings = StackSettings(
            api_port=free_port(),
            redis_port=free_port(),
            serving_port=serving_port,
            store=str(folder / "store"),
            run=folder,
            models=_models(folder),
        )
        stack.enter_context(_running(redis_command(find_redis(), settings.redis_port, folder), others or [first]))
        environ = settings.service_environment(os.environ) | {"METSEG_KEYS": str(folder / "no-keys.json")}
        api = stack.enter_context(_running(["metseg-api"], [first], environ))
        bare_port = free_port()
        command = [sys.executable, "-m", "benchmarks.bare_api", str(bare_port)]
        bare = stack.enter_context(_running(command, [first]))
        for port in (settings.api_port, bare_port):
            _wait_for(port)
        redis_url = f"redis://127.0.0.1:{settings.redis_port}/0"
        dispatcher, holders = Dispatcher(redis_url), JobLeases(redis_url)
        stack.callback(dispatcher.close)
        stack.callback(holders.close)
        beats = stack.enter_context(ExitStack())
        if others:
            os.sched_setaffinity(0, others)
        jobs = JobStore(open_blob_store(settings.store))
        yield Rig(api, bare, settings.api_port, bare_port, jobs, dispatcher, holders, beats)
    os.sched_setaffinity(0, [first, *others])


def _models(folder: Path) -> Path:
    """The shipped card as that of a served model."""
    path = folder / "models" / DEFAULT_MODEL / "1" / CARD_PATH
    path.parent.mkdir(parents=True)
    path.write_bytes(CARD.read_bytes())
    return folder / "models"


@contextmanager
def _running(
    command: Sequence[str], cores: Sequence[int], environ: dict[str, str] | None = None
) -> Iterator[psutil.Process]:
    listed = ",".join(str(core) for core in cores)
    process = subprocess.Popen(
        ["taskset", "--cpu-list", listed, *command],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _model_status() -> Iterator[int]:
    """TF Serving as far as the API asks it: version 1 is AVAILABLE."""

    def status(_request: object, _context: object) -> wire.GetModelStatusResponse:
        one = wire.ModelVersionStatus(version=1, state=wire.ModelVersionStatus.State.AVAILABLE)
        return wire.GetModelStatusResponse(model_version_status=[one])

    handler = grpc.unary_unary_rpc_method_handler(
        status,
        request_deserializer=wire.GetModelStatusRequest.FromString,
        response_serializer=wire.GetModelStatusResponse.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler("tensorflow.serving.ModelService", {"GetModelStatus": handler})
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers((service,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(None).wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port} after {STARTED_WITHIN_S:.0f} s")
