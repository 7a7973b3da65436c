"""The services of a job as processes that can be killed one by one, with a rule in the network's place."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import httpx
import psutil
from bright_serving import BrightServing
from fault_clocks import Clocks
from fault_disk import SmallDisk
from phantoms import card
from redis import Redis
from redis.exceptions import RedisError
from redis_fixture import free_port

from deploy.local.redis_server import find_redis, redis_command
from metseg.jobs.store import JobStore
from metseg.schemas.job import (
    Artefact,
    InputFile,
    JobRecord,
    JobRequest,
    JobResult,
    JobState,
    ModelRef,
    new_job_id,
)
from metseg.schemas.model_card import CARD_PATH
from metseg.serving.proto import serving_wire_pb2 as wire
from metseg.storage.open import open_blob_store

START_WITHIN_S = 240.0
ROOM_A_JOB_BYTES = 400_000
LARGE_BYTES = 16 << 20
"""An artefact that does not fit into the buffers between two programs."""


class FaultStack:
    """Redis with its append-only file, API, workers and metseg-serving; started again by the test that kills them.

    Args:
        folder: For everything; made if it is missing.
        workers: How many.
        jobs: How many the store has room for.
        long_away_s: How long the model server is away when it is away for long.
        environ: Further variables for every service.
    """

    def __init__(
        self, folder: Path, *, workers: int = 2, jobs: int = 100, long_away_s: float = 12, **environ: str
    ) -> None:
        self.folder = folder
        self.long_away_s = long_away_s
        folder.mkdir(exist_ok=True)
        self.workers = [f"worker-{number}" for number in range(1, workers + 1)]
        self.store = folder / "store"
        self.disk = SmallDisk(self.store, size_bytes=2 * LARGE_BYTES + (64 << 20) + jobs * ROOM_A_JOB_BYTES)
        self.own_jobs: set[str] = set()
        self._environ = environ
        self.clocks = Clocks(folder / "clocks")
        self._large: Artefact | None = None
        self._timers: list[threading.Timer] = []
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        path = folder / "models" / "attention_unet" / "1" / CARD_PATH
        path.parent.mkdir(parents=True)
        card().write(path)
        self._redis_port, self._api_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self._api_port}"
        self.redis_url = f"redis://127.0.0.1:{self._redis_port}/0"
        self.serving = BrightServing()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            for name in ("redis", "api", *self.workers):
                self.start(name)
        except BaseException as exc:
            self.__exit__(type(exc), exc, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.join_timers()
        for name in (*self.workers, "api", "redis"):
            if name in self._processes:
                self.kill(name, *self._process(name).children(recursive=True))
        left = self.strangers()
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=30)
        self.serving.stop()
        self.disk.__exit__(kind, error, trace)

    def start(self, name: str) -> None:
        """Start a service; Redis and the API are waited for."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self._command(name),
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if name == "redis":
            _wait(self._redis_answers)
        if name == "api":
            _wait(self.api_answers)

    def kill(self, name: str, *more: psutil.Process) -> None:
        """SIGKILL a service and others at the same moment."""
        process = self._processes.pop(name)
        for one in (psutil.Process(process.pid), *more):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()

    def terminate(self, name: str) -> None:
        """Ask a service to stop, as an update of the system does, and wait until it has."""
        process = self._processes.pop(name)
        process.terminate()
        process.wait(60)

    def horse(self, name: str) -> psutil.Process | None:
        """The work-horse of a worker, if it is busy."""
        for child in self.members(name):
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                if child.ppid() == self._processes[name].pid and os.getpgid(child.pid) == child.pid:
                    return child
        return None

    def members(self, name: str) -> list[psutil.Process]:
        """All that a service has started."""
        with suppress(psutil.NoSuchProcess):
            return self._process(name).children(recursive=True)
        return []

    def whole(self, name: str) -> list[psutil.Process]:
        """A service and all that it has started."""
        with suppress(psutil.NoSuchProcess):
            return [self._process(name), *self.members(name)]
        return []

    def lose_redis_data(self) -> None:
        """Erase what Redis keeps on disk; it must not run."""
        shutil.rmtree(self.folder / "redis", ignore_errors=True)

    def redis(self) -> Redis:
        """A connection to be closed by its user."""
        return Redis.from_url(self.redis_url, socket_timeout=5)

    def strangers(self) -> list[psutil.Process]:
        """Processes of this stack that no service has as a child: work-horses that outlived their worker."""
        known = {pid for name in self._processes for pid in [one.pid for one in self.members(name)]}
        known |= {process.pid for process in self._processes.values()}
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid not in known and process.environ().get("METSEG_STORE") == str(self.store):
                    found.append(process)
        return found

    def spoil(self, how: Callable[[wire.PredictResponse], object], for_s: float) -> None:
        """Let the network answer wrongly for a while."""
        self.serving.spoil = how
        time.sleep(for_s)
        self.serving.spoil = lambda answer: None

    def serving_goes(self, away_s: float) -> None:
        """Stop the network's server and start it again on its port."""
        port = self.serving.port
        self.serving.stop()
        time.sleep(away_s)
        self.serving = BrightServing(port)

    def later(self, after_s: float, action: Callable[[], object]) -> None:
        """Do something after a while, whatever goes on then."""
        timer = threading.Timer(after_s, action)
        self._timers.append(timer)
        timer.start()

    def join_timers(self) -> None:
        """Return once all that was to be done later is done."""
        for timer in self._timers:
            timer.join()

    def large_artefact(self) -> tuple[str, Artefact]:
        """Path and description of a file that a job of this stack's own has as its result."""
        if self._large is None:
            job_id, self._large = put_ended_job(self.store, bytes(LARGE_BYTES))
            self.own_jobs.add(job_id)
        [job_id] = self.own_jobs
        return f"/v1/jobs/{job_id}/result/{self._large.name}", self._large

    def environment(self, name: str) -> dict[str, str]:
        """What a service is told."""
        return {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.scratch),
            "METSEG_API_PORT": str(self._api_port),
            "METSEG_STORE": str(self.store),
            "METSEG_MODELS": str(self.folder / "models"),
            "METSEG_REDIS_URL": self.redis_url,
            "METSEG_SERVING": self.serving.target,
            "METSEG_JOB_TIMEOUT_S": "120",
            "METSEG_PREDICT_TIMEOUT_S": "10",
            "METSEG_MIN_FREE_BYTES": "0",
            **self._environ,
        } | self.clocks.environment(name)

    def api_answers(self) -> bool:
        """Whether the API is up."""
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200
        return False

    def _redis_answers(self) -> bool:
        with self.redis() as connection, suppress(RedisError):
            return bool(connection.ping())
        return False

    def _process(self, name: str) -> psutil.Process:
        return psutil.Process(self._processes[name].pid)

    def _command(self, name: str) -> list[str]:
        if name == "redis":
            (self.folder / "redis").mkdir(exist_ok=True)
            return list(redis_command(find_redis(), self._redis_port, self.folder / "redis"))
        return [sys.executable, "-m", "metseg_api" if name == "api" else "metseg_worker"]


def put_ended_job(folder: Path, result: bytes) -> tuple[str, Artefact]:
    """Put a job into a store that has succeeded at its first attempt; its id and its one artefact."""
    store, job_id, now = JobStore(open_blob_store(str(folder))), new_job_id(), datetime.now(UTC)
    key, known = store.input_key(job_id), card()
    store.blobs.put(key, b"scan")
    model = ModelRef(name=known.name, version=known.version, digest=known.digest)
    given = InputFile(key=key, size_bytes=4, sha256="s")
    store.create(JobRecord(id=job_id, created_at=now, request=JobRequest(), model=model, inputs=[given]))
    store.claim(job_id, 1)
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "mask.png"
        path.write_bytes(result)
        artefact = store.put_artefact(job_id, 1, path, "image/png")
    final = JobResult(job_id=job_id, state=JobState.SUCCEEDED, attempt=1, finished_at=now, artefacts=[artefact])
    assert store.publish(final, 1)
    return job_id, artefact


def freeze(process: psutil.Process) -> None:
    """Stop a process without ending it; `process.resume()` lets it go on."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGSTOP)


def _wait(condition: Callable[[], object]) -> None:
    until = time.monotonic() + START_WITHIN_S
    while not condition():
        assert time.monotonic() < until, "a service does not start"
        time.sleep(0.05)
