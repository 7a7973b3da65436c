"""The queue between API and worker: who waits, how far a job is, and whether it is to stop.

Only this module imports Redis and RQ. Redis holds nothing that the blob store could not bring back: the
waiting attempts (ids only, as JSON), the live progress and the cancel flags.

RQ imports whatever function a queue entry names, and callbacks besides, so that a JSON serializer alone does
not keep anyone who can write to Redis from running code in the worker. `AllowListJob` runs one function only.
"""

import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, cast

from pydantic import ValidationError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, Worker
from rq.exceptions import DeserializationError, DuplicateJobError, InvalidJobOperation
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty

from metseg import errors
from metseg.jobs import Progress, is_job_id

logger = logging.getLogger(__name__)

QUEUE_NAME: Final = "metseg"
FUNCTION: Final = "metseg_worker.run.run_job"
PROGRESS_KEY: Final = "metseg:progress:{}"
CANCEL_KEY: Final = "metseg:cancel:{}"

KEPT_S: Final = 24 * 3600
"""How long a waiting attempt, its progress and its cancel flag stay in Redis."""
ENDED_KEPT_S: Final = 3600
"""How long RQ remembers an attempt that ended; until then the same attempt cannot be enqueued again."""
GRACE_S: Final = 30
"""RQ ends an attempt that is this much past its own time limit."""

CONNECT_TIMEOUT_S: Final = 1.0
ANSWER_TIMEOUT_S: Final = 2.0
WORKER_TTL_S: Final = 30
MONITORING_INTERVAL_S: Final = 5
MAINTENANCE_INTERVAL_S: Final = 30
RECONNECT_S: Final = 2.0

OnLost = Callable[[str, int, errors.JobError], None]
"""Called with job id, attempt and the reason when an attempt ended without having told its own end."""


class Dispatcher:
    """What API and worker say to Redis.

    Every method raises `QueueUnavailableError` when Redis does not answer within a few seconds.
    """

    def __init__(self, redis_url: str) -> None:
        self._redis = connect(redis_url)
        self._queue = _queue(self._redis)

    def ping(self) -> None:
        """Return when Redis answers."""
        with redis_errors():
            self._redis.ping()

    def enqueue(self, job_id: str, attempt: int, *, timeout_s: float) -> None:
        """Hand an attempt to the workers; enqueuing the same attempt again changes nothing.

        The worker itself gives up after `timeout_s`; RQ ends what has not ended `GRACE_S` later.
        """
        with redis_errors():
            with suppress(DuplicateJobError):
                self._queue.enqueue(
                    FUNCTION,
                    args=(job_id, attempt),
                    job_id=f"{job_id}-{attempt}",
                    description=f"{FUNCTION} {job_id} {attempt}",
                    job_timeout=math.ceil(timeout_s) + GRACE_S,
                    ttl=KEPT_S,
                    result_ttl=ENDED_KEPT_S,
                    failure_ttl=ENDED_KEPT_S,
                    unique=True,
                )

    def write_progress(self, job_id: str, progress: Progress) -> None:
        """Replace what `read_progress` answers."""
        with redis_errors():
            self._redis.set(PROGRESS_KEY.format(job_id), progress.model_dump_json(), ex=KEPT_S)

    def read_progress(self, job_id: str) -> Progress | None:
        """How far the job is; None before it started and when Redis has forgotten it."""
        with redis_errors():
            text = self._redis.get(PROGRESS_KEY.format(job_id))
        with suppress(ValidationError):
            return Progress.model_validate_json(text or b"")
        return None

    def request_cancel(self, job_id: str) -> None:
        """Ask the worker to stop at its next look; a job that is not running is left alone."""
        with redis_errors():
            self._redis.set(CANCEL_KEY.format(job_id), b"1", ex=KEPT_S)

    def cancel_requested(self, job_id: str) -> bool:
        """Whether `request_cancel` was called."""
        with redis_errors():
            return bool(self._redis.exists(CANCEL_KEY.format(job_id)))

    def forget(self, job_id: str) -> None:
        """Remove the job's progress and cancel flag."""
        with redis_errors():
            self._redis.delete(PROGRESS_KEY.format(job_id), CANCEL_KEY.format(job_id))

    def queue_length(self) -> int:
        """How many attempts wait for a worker."""
        with redis_errors():
            return int(self._queue.count)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


class AllowListJob(Job):
    """A queue entry that runs `run_job(job_id, attempt)` or fails without importing anything."""

    _callbacks_came = False

    def restore(self, raw_data: Mapping[Any, Any]) -> None:
        """Read the entry, dropping callbacks and webhooks, which RQ would import and call otherwise."""
        super().restore(raw_data)
        names = (self._success_callback_name, self._failure_callback_name, self._stopped_callback_name)
        self._callbacks_came = any(names) or bool(self.webhooks)
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []

    @property
    def refusal(self) -> str | None:
        """Why this entry must not run, or None when it may."""
        try:
            named, instance, args, kwargs = self.func_name, self.instance, self.args, self.kwargs
        except (DeserializationError, ValueError, TypeError):
            return "the entry is not a call in JSON"
        if named != FUNCTION or instance is not None:
            return "it names another function"
        if self._callbacks_came:
            return "it carries callbacks"
        if kwargs or [type(value) for value in args] != [str, int] or not is_job_id(args[0]):
            return "its arguments are not a job id and an attempt"
        return None

    @property
    def func(self) -> Any:
        """The allowed function; PermissionError when there is a `refusal`."""
        if (refusal := self.refusal) is not None:
            raise PermissionError(f"refused to run a queue entry: {refusal}")
        return super().func


class _OverdueError(errors.JobTimeoutError, JobTimeoutException):
    """RQ's alarm, in metseg's error tree: `run_job` stores it like any other failure."""

    def __init__(self, *_details: object) -> None:
        super().__init__("The job took longer than its time limit.")


class _Alarm(UnixSignalDeathPenalty):
    def __init__(self, timeout: int, exception: type[Exception], **_more: object) -> None:
        chosen = _OverdueError if exception is JobTimeoutException else exception
        super().__init__(timeout, chosen)  # type: ignore[no-untyped-call]  # RQ leaves it untyped


class MetsegWorker(Worker):
    """RQ's forking worker, which also reports attempts that ended without a word.

    The work-horse (the forked child) may be killed or die in native code, and `run_job` may fail to reach the
    store. Either way RQ marks the entry failed, and `on_lost` is called in the parent.
    """

    job_class = AllowListJob
    death_penalty_class = _Alarm
    log_result_lifespan = False
    max_connection_wait_time = RECONNECT_S

    def __init__(self, connection: Redis, on_lost: OnLost) -> None:
        super().__init__(
            [_queue(connection)],
            connection=connection,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL_S,
            job_monitoring_interval=MONITORING_INTERVAL_S,
            maintenance_interval=MAINTENANCE_INTERVAL_S,
            log_job_description=False,
        )
        self._on_lost = on_lost
        self._overran = False

    @property
    def asked_to_stop(self) -> bool:
        """Whether a signal asked for the end, as opposed to a failure of Redis."""
        return self._shutdown_requested_date is not None

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        """Tell Redis that the job runs; a missed beat must not end the worker and orphan the job."""
        try:
            super().maintain_heartbeats(job, execution)
        except RedisError:
            logger.warning("missed a heartbeat, Redis does not answer", extra={"rq_id": job.id})

    def monitor_work_horse(self, job: Job, queue: Queue, execution: Execution) -> None:
        """Wait for the horse, then see whether it told its end."""
        self._overran = False
        super().monitor_work_horse(job, queue, execution)
        try:
            failed = job.get_status() is JobStatus.FAILED
        except InvalidJobOperation:
            failed = False  # it ended long ago
        if failed:
            died = errors.WorkerLostError("The worker died during the job.")
            self._report(job, _OverdueError() if self._overran else died)

    def handle_work_horse_killed(self, job: Job, _pid: Any, wait_status: int | None, _rusage: Any) -> None:
        """Note whether RQ itself killed the horse, which it does when the alarm could not end it."""
        self._overran = wait_status is None
        logger.warning("work-horse died", extra={"rq_id": job.id, "wait_status": wait_status})

    def _report(self, job: Job, reason: errors.JobError) -> None:
        if (refusal := cast(AllowListJob, job).refusal) is not None:
            logger.error("refused a queue entry: %s", refusal)
            return
        job_id, attempt = job.args
        try:
            self._on_lost(job_id, attempt, reason)
        except errors.MetsegError as exc:
            logger.error("lost attempt not stored", extra={"job_id": job_id, "code": exc.code})


def make_worker(redis_url: str, on_lost: OnLost) -> MetsegWorker:
    """A worker on the queue, to be run by `.work()`; raises `QueueUnavailableError`."""
    with redis_errors():
        return MetsegWorker(connect(redis_url), on_lost)


def work_until_stopped(redis_url: str, on_lost: OnLost) -> None:
    """Run a worker until SIGTERM or SIGINT, starting over whenever Redis went away."""
    while True:
        try:
            worker = make_worker(redis_url, on_lost)
            logger.info("worker listens", extra={"queue": QUEUE_NAME})
            worker.work(logging_level="WARNING")
            if worker.asked_to_stop:
                return
        except (errors.QueueUnavailableError, RedisError):
            logger.warning("Redis does not answer, trying again in %g s", RECONNECT_S)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        time.sleep(RECONNECT_S)


def _queue(connection: Redis) -> Queue:
    return Queue(QUEUE_NAME, connection=connection, job_class=AllowListJob, serializer=JSONSerializer)


def connect(redis_url: str) -> Redis:
    """A client of that Redis, which need not be up yet; it waits seconds for an answer, not minutes.

    Raises:
        SettingsError: the address is none of a Redis.
    """
    try:
        return Redis.from_url(
            redis_url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),
        )
    except ValueError as exc:
        raise errors.SettingsError(f"METSEG_REDIS_URL: expected redis://host:port/number, {exc}") from exc


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn what goes wrong with Redis into `QueueUnavailableError`."""
    try:
        yield
    except RedisError as exc:
        raise errors.QueueUnavailableError(f"The job queue does not answer ({type(exc).__name__}).") from exc
