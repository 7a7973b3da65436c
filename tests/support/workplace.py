"""A worker's surroundings for tests: a store, a Redis, a model card, and bright-is-lesion serving."""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil
from bright_serving import BrightServing
from phantoms import card
from redis_fixture import RedisServer

from metseg.jobs.store import JobStore
from metseg.models.library import ModelLibrary
from metseg.queue.dispatcher import Dispatcher
from metseg.queue.heartbeats import JobLeases
from metseg.queue.recovery import Recovery
from metseg.schemas.job import InputFile, JobRecord, JobRequest, JobResult, ModelRef, new_job_id
from metseg.schemas.model_card import CARD_PATH
from metseg.serving.client import ServingClient
from metseg.storage.open import open_blob_store
from metseg_worker.attempt.run import AttemptContext, make_attempt
from metseg_worker.pipeline.predict import Patience
from metseg_worker.pipeline.process_job import Dependencies

T = TypeVar("T")


@dataclass
class Workplace:
    """Everything a job needs; jobs run in this process by `attempt` or in a real worker by `worker`."""

    folder: Path
    redis: RedisServer
    serving: BrightServing
    store: JobStore
    dispatcher: Dispatcher
    holders: JobLeases
    job_timeout_s: float = 60
    predict_timeout_s: float = 10
    serving_patience_s: float = 60

    def submit(self, *contents: bytes, previous_scan: Sequence[bytes] = (), **request: object) -> str:
        """Accept a job as the API does, without enqueuing it."""
        job_id = new_job_id()
        inputs = self._stored(partial(self.store.input_key, job_id), contents)
        known = ModelLibrary(self.folder / "models").card("attention_unet", 1)
        self.store.create(
            JobRecord(
                id=job_id,
                created_at=datetime.now(UTC),
                request=JobRequest.model_validate(request),
                model=ModelRef(name=known.name, version=known.version, digest=known.digest),
                inputs=inputs,
                previous_inputs=self._stored(partial(self.store.previous_key, job_id), previous_scan),
            )
        )
        return job_id

    def _stored(self, key_of: Callable[[int], str], contents: Sequence[bytes]) -> list[InputFile]:
        files = []
        for number, content in enumerate(contents):
            key, digest = key_of(number), hashlib.sha256(content).hexdigest()
            self.store.blobs.put(key, content)
            files.append(InputFile(key=key, size_bytes=len(content), sha256=digest))
        return files

    def attempt(self, job_id: str, attempt: int = 1) -> JobResult | None:
        """Make an attempt in this process."""
        with closing(ServingClient(self.serving.target, timeout_s=self.predict_timeout_s)) as client:
            patience = Patience(self.serving_patience_s)
            dependencies = Dependencies(
                self.store, ModelLibrary(self.folder / "models"), client, "a test", patience
            )
            context = AttemptContext(dependencies, self.dispatcher, self.holders, self.job_timeout_s, lambda: None)
            make_attempt(context, job_id, attempt)
        return self.store.final(job_id)

    def names(self, job_id: str, attempt: int = 1) -> list[str]:
        """What lies in an attempt's folder."""
        return self.store.blobs.names(f"jobs/{job_id}/attempts/{attempt}")

    def artefact(self, job_id: str, name: str, attempt: int = 1) -> Path:
        """An artefact as a local file."""
        path = self.folder / f"{job_id}-{name}"
        self.store.blobs.download(self.store.artefact_key(job_id, attempt, name), path)
        return path

    def environment(self) -> dict[str, str]:
        """What a worker is told."""
        return {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.folder / "scratch"),
            "METSEG_STORE": str(self.folder / "store"),
            "METSEG_MODELS": str(self.folder / "models"),
            "METSEG_REDIS_URL": self.redis.url,
            "METSEG_SERVING": self.serving.target,
            "METSEG_DRAIN_S": "2",
        }

    @contextmanager
    def worker(self) -> Iterator[psutil.Process]:
        """A real worker process."""
        environment = self.environment()
        log = (self.folder / "worker.log").open("ab")
        with (
            log,
            subprocess.Popen([sys.executable, "-m", "metseg_worker"], env=environment, stderr=log) as process,
        ):
            try:
                yield psutil.Process(process.pid)
            finally:
                process.terminate()
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()

    def recovery(self) -> Recovery:
        """What the reconciler acts by."""
        return Recovery(self.store, self.dispatcher, self.holders, timeout_s=60)

    def log(self) -> str:
        return (self.folder / "worker.log").read_text()


def horse_of(worker: psutil.Process) -> psutil.Process:
    """The work-horse of a busy worker: of its children the one that leads a group of its own."""
    [horse] = [child for child in worker.children() if os.getpgid(child.pid) == child.pid]
    return horse


@contextmanager
def workplace(folder: Path, redis: RedisServer) -> Iterator[Workplace]:
    """Set everything up in a folder; the model card is that of `phantoms.card`."""
    path = folder / "models" / "attention_unet" / "1" / CARD_PATH
    path.parent.mkdir(parents=True)
    card().write(path)
    (folder / "scratch").mkdir()
    store = JobStore(open_blob_store(str(folder / "store")))
    before = tempfile.tempdir
    tempfile.tempdir = str(folder / "scratch")
    with (
        closing(Dispatcher(redis.url)) as dispatcher,
        closing(JobLeases(redis.url)) as holders,
        BrightServing() as serving,
    ):
        try:
            yield Workplace(folder, redis, serving, store, dispatcher, holders)
        finally:
            tempfile.tempdir = before


def wait_for(look: Callable[[], T], timeout_s: float = 90) -> T:
    """What `look` gives as soon as it is true."""
    until = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
    return found
