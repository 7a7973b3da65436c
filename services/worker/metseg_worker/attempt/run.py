"""One attempt at one job, from the stored input to the stored result.

    claim → download → read (limited child) → segment (TF Serving) → artefacts → final.json

Everything is written below the attempt's own folder, and `final.json` once, by an attempt that was not given up
meanwhile, so an attempt may die at any point, or live on when nobody expects it to, without a job having two
results or half of one.
"""

import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import FrameType
from typing import NoReturn

from metseg.errors import (
    InputError,
    JobCancelledError,
    JobGoneError,
    JobNotFoundError,
    MetsegError,
    QueueUnavailableError,
)
from metseg.imaging.series_errors import SeriesUnclearError
from metseg.jobs.store import JobStore
from metseg.models.library import ModelLibrary
from metseg.queue.dispatcher import GRACE_S, Dispatcher
from metseg.queue.heartbeats import JobLeases
from metseg.schemas.job import Artefact, AttemptEnd, Failure, JobRecord, JobResult, JobState
from metseg.serving.client import ServingClient
from metseg.storage.open import open_blob_store
from metseg.tracing.api import OFF, Side, Span, Tracer
from metseg.tracing.open import open_tracer
from metseg_worker.attempt.canary import Agreement
from metseg_worker.attempt.monitor import AttemptMonitor
from metseg_worker.attempt.stage_spans import staged
from metseg_worker.pipeline.predict import Patience
from metseg_worker.pipeline.process_job import Dependencies, make_files
from metseg_worker.retry import patiently
from metseg_worker.sandbox.answer import log_fields
from metseg_worker.scratch import scratch
from metseg_worker.settings import WorkerSettings

logger = logging.getLogger(__name__)

INTERNAL_ERROR = Failure(
    code="internal_error", message="The job failed by an error inside metseg; the worker's log tells where."
)


@dataclass(frozen=True)
class AttemptContext:
    """The outside systems of an attempt; `on_stuck` is called when it does not end though it should."""

    dependencies: Dependencies
    dispatcher: Dispatcher
    holders: JobLeases
    job_timeout_s: float
    on_stuck: Callable[[], None]
    tracer: Tracer = OFF

    @property
    def store(self) -> JobStore:
        """Where the jobs are."""
        return self.dependencies.store


def run_job(job_id: str, attempt: int) -> None:
    """What a queue entry runs: connect by the environment's settings and make the attempt.

    SIGTERM makes it give the job back.
    """
    signal.signal(signal.SIGTERM, _leave)
    settings = WorkerSettings.from_env()
    with (
        closing(open_tracer("metseg-worker", settings)) as tracer,
        closing(Dispatcher(settings.redis_url)) as dispatcher,
        closing(JobLeases(settings.redis_url)) as holders,
        closing(ServingClient(settings.serving, timeout_s=settings.predict_timeout_s, tracer=tracer)) as serving,
    ):
        store = JobStore(open_blob_store(settings.store, make=False))
        patience = Patience(settings.serving_patience_s)
        dependencies = Dependencies(
            store, ModelLibrary(settings.models), serving, settings.serving_device, patience
        )
        context = AttemptContext(dependencies, dispatcher, holders, settings.job_timeout_s, _die, tracer)
        make_attempt(context, job_id, attempt)


class _Terminated(BaseException):
    """SIGTERM came; not an `Exception`, so that nothing on its way takes it for a failure of the job."""


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Terminated


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def make_attempt(context: AttemptContext, job_id: str, attempt: int) -> None:
    """Do the job, unless it has ended, is gone, or the attempt is taken; store its end, whatever it is.

    Raises:
        StoreError: the attempt could not be claimed, or its end not be stored.
        JobCancelledError: somebody asked to stop while the store was waited for, before the attempt was claimed.
    """
    watch = AttemptMonitor(
        context.dispatcher, job_id, attempt, limit_s=context.job_timeout_s, on_stuck=context.on_stuck
    )
    patience = context.dependencies.patience
    patience.on_wait = watch.on_wait
    most_s = context.job_timeout_s + patience.limit_s + 2 * GRACE_S
    with context.holders.holding(job_id, attempt, most_s=most_s, on_beat=watch.on_beat):
        record = _claimed(context.store, job_id, attempt, watch)
        if record is not None:
            with context.tracer.span("attempt", side=Side.CONSUMER, parent=record.traceparent) as span:
                span.tell(job_id=job_id, attempt=attempt, model=record.model.name, version=record.model.version)
                _make_claimed(context, record, attempt, watch, span)


def _claimed(store: JobStore, job_id: str, attempt: int, watch: AttemptMonitor) -> JobRecord | None:
    """The job, if the attempt at it is this process's now."""
    extra = {"job_id": job_id, "attempt": attempt}

    def claim() -> JobRecord | None:
        record = store.load(job_id)
        is_mine = store.final(job_id) is None and store.claim(
            job_id, attempt, f"{socket.gethostname()}:{os.getpid()}"
        )
        return record if is_mine else None

    try:
        record = patiently(claim, watch.check, job_id=job_id)
    except (JobNotFoundError, JobGoneError):
        logger.info("job is gone, attempt skipped", extra=extra)
        return None
    if record is None:
        logger.info("job has ended or attempt is taken, attempt skipped", extra=extra)
    return record


def _make_claimed(
    context: AttemptContext, record: JobRecord, attempt: int, watch: AttemptMonitor, span: Span
) -> None:
    extra = {"job_id": record.id, "attempt": attempt}
    logger.info("attempt starts", extra=extra)
    agreement = Agreement(context.dependencies, record)
    watch.expect(2 if record.previous_inputs else 1)
    try:
        final = _attempted(context, record, attempt, watch, agreement)
        published = final is not None and context.store.publish(final, attempt)
    except _Terminated:
        _give_back(context, record, attempt)
        return
    if final is None or not published:
        logger.info("job ended or attempt was given up meanwhile, attempt dropped", extra=extra)
        context.store.discard_artefacts(record.id, attempt)
        return
    code, timings_s = final.failure.code if final.failure else None, watch.timings_s()
    fields = {"state": final.state.value, "code": code, "seconds": timings_s["total"]}
    logger.info("attempt ended", extra=extra | fields)
    span.tell(state=final.state.value)
    if code is not None:
        span.end(code)
    with suppress(QueueUnavailableError):  # a job that is not counted has ended all the same
        context.dispatcher.tell_end(final, timings_s)
    with suppress(_Terminated):  # the job has ended, so there is nothing to give back
        agreement.measure(context.dispatcher, watch.check)


def _give_back(context: AttemptContext, record: JobRecord, attempt: int) -> None:
    """End an attempt without a result and hand the job to the next worker."""
    job_id = record.id
    end = context.store.end_attempt(job_id, attempt, AttemptEnd(ended_at=datetime.now(UTC)))
    if end.final is not None:  # SIGTERM came between its end and the job's
        context.store.finish(end.final)
        return
    context.store.discard_artefacts(job_id, attempt)
    priority = record.request.priority
    context.dispatcher.enqueue(job_id, attempt + 1, timeout_s=context.job_timeout_s, priority=priority)
    logger.info("worker was told to stop, job given back", extra={"job_id": job_id, "attempt": attempt})


def _attempted(
    context: AttemptContext, record: JobRecord, attempt: int, watch: AttemptMonitor, agreement: Agreement
) -> JobResult | None:
    """How the attempt ended; None if the job was deleted under it or given to another."""
    state, failure, artefacts = JobState.FAILED, None, list[Artefact]()
    try:
        with scratch(record.id, attempt) as folder, staged(context.tracer, watch.on_progress) as on_progress:
            dependencies, check = context.dependencies, watch.check
            files = make_files(
                dependencies, record, folder, check=check, on_progress=on_progress, on_found=agreement.keep
            )
            steadily = partial(patiently, check=partial(check, look=True), job_id=record.id)
            steadily(partial(context.store.load, record.id))  # it raises where the job was deleted
            for file in files:
                artefacts.append(steadily(partial(context.store.put_artefact, record.id, attempt, *file)))
            watch.check(look=True)  # the last moment at which a cancel can be kept to
        state = JobState.SUCCEEDED
    except JobGoneError:
        return None
    except JobCancelledError:
        state = JobState.CANCELLED
    except MetsegError as exc:
        failure = _failure(exc)
    except Exception as exc:  # the one place where an unknown error becomes a stored failure
        logger.exception("unknown error", extra={"job_id": record.id, "attempt": attempt} | log_fields(exc))
        failure = INTERNAL_ERROR
    if state is not JobState.SUCCEEDED:
        context.store.discard_artefacts(record.id, attempt)
        artefacts = []
    return JobResult(
        job_id=record.id,
        state=state,
        attempt=attempt,
        started_at=watch.started_at,
        finished_at=datetime.now(UTC),
        artefacts=artefacts,
        failure=failure,
    )


def _failure(error: MetsegError) -> Failure:
    """An error as it is stored; of an uploaded prior it says so."""
    series = list(error.series) if isinstance(error, SeriesUnclearError) else []
    if isinstance(error, InputError) and error.of_previous:
        return Failure(code=error.code, message=f"The earlier scan: {error}", series=series, of_previous=True)
    return Failure(code=error.code, message=str(error), series=series)
