"""The worker's side of the queue: takes attempts from it and watches over the process that makes them."""

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Timer
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.exceptions import InvalidJobOperation
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.timeouts import HorseMonitorTimeoutException, JobTimeoutException, UnixSignalDeathPenalty

from metseg import errors
from metseg.dispatch import QUEUE_NAMES, ROUTINE_EVERY, connect, open_queue, redis_errors
from metseg.jobs import Priority
from metseg.queue_entry import AllowListJob

logger = logging.getLogger(__name__)

WORKER_TTL_S: Final = 30
MONITORING_INTERVAL_S: Final = 5
MAINTENANCE_INTERVAL_S: Final = 30
RECONNECT_S: Final = 2.0
DRAIN_S: Final = 3.0
"""A worker that is to stop gives its job this long to end; honcho kills after 5 seconds, Docker after 10."""

OnLost = Callable[[str, int, errors.JobError], None]
"""Called with job id, attempt and the reason when an attempt ended without having told its own end."""


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

    Asked to stop, it lets the job under way end by itself for `drain_s`, then has the horse give it back.
    """

    job_class = AllowListJob
    death_penalty_class = _Alarm
    log_result_lifespan = False
    max_connection_wait_time = RECONNECT_S

    def __init__(
        self, connection: Redis, on_lost: OnLost, *, drain_s: float, on_maintenance: Callable[[], None]
    ) -> None:
        super().__init__(
            [open_queue(connection, lane) for lane in Priority],
            connection=connection,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL_S,
            job_monitoring_interval=MONITORING_INTERVAL_S,
            maintenance_interval=MAINTENANCE_INTERVAL_S,
            log_job_description=False,
        )
        self._on_lost = on_lost
        self._drain_s = drain_s
        self._on_maintenance = on_maintenance
        self._overran = False
        self._under_way: tuple[Job, float] | None = None
        self._picks = 0

    @property
    def asked_to_stop(self) -> bool:
        """Whether a signal asked for the end, as opposed to a failure of Redis."""
        return self._shutdown_requested_date is not None

    def reorder_queues(self, reference_queue: Queue) -> None:  # noqa: ARG002  RQ tells what it took
        """Choose, after each pick, which lane is looked into first at the next one."""
        self._picks += 1
        is_routines_turn = self._picks % ROUTINE_EVERY == ROUTINE_EVERY - 1
        self._ordered_queues = self.queues[::-1] if is_routines_turn else self.queues[:]

    def run_maintenance_tasks(self) -> None:
        """Every `MAINTENANCE_INTERVAL_S` between two jobs."""
        super().run_maintenance_tasks()  # type: ignore[no-untyped-call]  # RQ leaves it untyped
        self._on_maintenance()

    def subscribe(self) -> None:
        """Take no commands over Redis: whoever can write there could stop workers and kill jobs by them."""

    def handle_warm_shutdown_request(self) -> None:
        """Start the time after which the horse is told to give its job back."""
        hurry = Timer(self._drain_s, self._hurry_horse)
        hurry.daemon = True
        hurry.start()

    def set_shutdown_requested_date(self) -> None:
        """Tell Redis of the end to come, if it answers: the end comes all the same."""
        with suppress(RedisError):
            super().set_shutdown_requested_date()  # type: ignore[no-untyped-call]  # RQ leaves it untyped

    def _hurry_horse(self) -> None:
        if horse := self.horse_pid:
            with suppress(ProcessLookupError):
                os.killpg(horse, signal.SIGTERM)

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        """Tell Redis that the job runs; a missed beat must not end the worker and orphan the job."""
        try:
            super().maintain_heartbeats(job, execution)
        except RedisError:
            logger.warning("missed a heartbeat, Redis does not answer", extra={"rq_id": job.id})

    def monitor_work_horse(self, job: Job, queue: Queue, execution: Execution) -> None:
        """Wait for the horse, then see whether it told its end."""
        self._overran = False
        self._under_way = job, time.monotonic()
        super().monitor_work_horse(job, queue, execution)
        try:
            failed = job.get_status() is JobStatus.FAILED
        except InvalidJobOperation:
            failed = False  # it ended long ago
        if failed:
            died = errors.WorkerLostError("The worker died during the job.")
            self._report(job, _OverdueError() if self._overran else died)

    def wait_for_horse(self) -> tuple[int | None, int | None, Any]:
        """Wait for the horse, until RQ's alarm asks to look whether it has overrun.

        RQ counts by the wall clock and would kill a horse whose clock was put forward by an hour. So the time of
        the start is told to it anew, by the time that went by.
        """
        try:
            return super().wait_for_horse()
        except HorseMonitorTimeoutException:
            if self._under_way is not None:
                job, began = self._under_way
                job.started_at = datetime.now(UTC) - timedelta(seconds=time.monotonic() - began)
            raise

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


def nothing() -> None:
    """The `on_maintenance` of a worker that has none."""


def make_worker(
    redis_url: str, on_lost: OnLost, *, drain_s: float = DRAIN_S, on_maintenance: Callable[[], None] = nothing
) -> MetsegWorker:
    """A worker on the queue, to be run by `.work()`; raises `QueueUnavailableError`."""
    with redis_errors():
        return MetsegWorker(connect(redis_url), on_lost, drain_s=drain_s, on_maintenance=on_maintenance)


def work_until_stopped(
    redis_url: str, on_lost: OnLost, *, drain_s: float, on_maintenance: Callable[[], None]
) -> None:
    """Run a worker until SIGTERM or SIGINT, starting over whenever Redis went away."""
    while True:
        worker = None
        try:
            worker = make_worker(redis_url, on_lost, drain_s=drain_s, on_maintenance=on_maintenance)
            logger.info("worker listens", extra={"queue": ",".join(QUEUE_NAMES.values())})
            worker.work(logging_level="WARNING")
        except (errors.QueueUnavailableError, RedisError):
            logger.warning("Redis does not answer, trying again in %g s", RECONNECT_S)
        if worker is not None and worker.asked_to_stop:
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        time.sleep(RECONNECT_S)
