"""What the tests of following a job share: a worker's words without the worker, timed and delayed."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
from api_service import ApiService

from metseg.schemas.job import Failure, JobResult, JobState, Progress, Stage


def progress(fraction: float, *, attempt: int = 1) -> Progress:
    now = datetime.now(UTC)
    return Progress(stage=Stage.PREDICT, fraction=fraction, attempt=attempt, started_at=now, updated_at=now)


def end(api: ApiService, job_id: str, state: JobState = JobState.FAILED) -> None:
    code = "input_damaged" if state is JobState.FAILED else None
    assert api.jobs.finish(ended(state, code, job_id))


def ended(state: JobState, code: str | None = None, job_id: str = "") -> JobResult:
    failure = None if code is None else Failure(code=code, message="The file breaks off.")
    return JobResult(job_id=job_id, state=state, attempt=1, finished_at=datetime.now(UTC), failure=failure)


@contextmanager
def soon(action: Callable[[], object], after_s: float = 0.6) -> Iterator[None]:
    timer = threading.Timer(after_s, action)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def timed(call: Callable[[], httpx.Response]) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    return call(), time.monotonic() - began
