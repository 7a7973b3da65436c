"""A reconciler with its jobs, on a real Redis and a real store, with short patience."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis
from redis_fixture import RedisServer

from metseg.jobs.store import JobStore
from metseg.queue import heartbeats as holders_module
from metseg.queue import reconciler as reconciler_module
from metseg.queue.dispatcher import Dispatcher
from metseg.queue.heartbeats import JobLeases
from metseg.queue.reconciler import Reconciler
from metseg.schemas.job import InputFile, JobRecord, JobRequest, JobResult, JobState, ModelRef, new_job_id
from metseg.storage.open import open_blob_store

UNHELD_S = 0.3


@dataclass
class Keep:
    """A reconciler and its jobs."""

    folder: Path
    redis: Redis
    store: JobStore
    dispatcher: Dispatcher
    holders: JobLeases
    reconciler: Reconciler

    def accept(self, *, kept_s: float = 3600, enqueue: bool = True) -> str:
        """Do as the API does."""
        job_id = new_job_id()
        key = self.store.input_key(job_id)
        self.store.blobs.put(key, b"scan")
        self.store.create(
            JobRecord(
                id=job_id,
                created_at=datetime.now(UTC),
                request=JobRequest(),
                model=ModelRef(name="attention_unet", version=1, digest="d"),
                inputs=[InputFile(key=key, size_bytes=4, sha256="s")],
                kept_s=kept_s,
            )
        )
        if enqueue:
            self.dispatcher.enqueue(job_id, 1, timeout_s=5)
        return job_id

    def take(self) -> str:
        """Take the entry that waits longest out of the queue, as a worker that dies at once; its name."""
        entry = self.redis.lpop("rq:queue:metseg")
        return entry.decode()

    def waiting(self) -> list[str]:
        return [entry.decode() for entry in self.redis.lrange("rq:queue:metseg", 0, -1)]

    def look_until(self, condition: Callable[[], object], timeout_s: float = 20) -> None:
        until = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < until, "looked in vain"
            self.reconciler.look()
            time.sleep(0.05)

    def look_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.reconciler.look()
            time.sleep(0.05)

    def end(self, job_id: str, attempt: int = 1, ended_ago_s: float = 0) -> JobResult:
        finished_at = datetime.now(UTC) - timedelta(seconds=ended_ago_s)
        final = JobResult(job_id=job_id, state=JobState.SUCCEEDED, attempt=attempt, finished_at=finished_at)
        assert self.store.finish(final)
        return final

    def files(self, job_id: str) -> list[str]:
        """Every file of a job, hidden ones included."""
        folder = self.folder / "jobs" / job_id
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def keep(tmp_path: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keep]:
    monkeypatch.setattr(reconciler_module, "UNHELD_S", UNHELD_S)
    monkeypatch.setattr(holders_module, "BEAT_EVERY_S", 0.1)
    with keeping(tmp_path, server) as made:
        made.redis.flushall()
        yield made


@contextmanager
def keeping(folder: Path, server: RedisServer) -> Iterator[Keep]:
    store = JobStore(open_blob_store(str(folder)))
    with (
        closing(Redis.from_url(server.url)) as redis,
        closing(Dispatcher(server.url)) as dispatcher,
        closing(JobLeases(server.url)) as holders,
    ):
        reconciler = Reconciler(store, dispatcher, holders, timeout_s=5)
        yield Keep(folder, redis, store, dispatcher, holders, reconciler)
