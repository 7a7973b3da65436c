"""The worker's side of the queue: takes attempts from it and watches over the process that makes them."""

import logging
import math
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
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
from metseg.queue.allow_list import AllowListJob
from metseg.queue.dispatcher import QUEUE_NAMES, ROUTINE_EVERY, open_queue
from metseg.queue.redis import connect, redis_errors
from metseg.queue.statistics import SERVING_AWAY_FIELD
from metseg.schemas.job import Priority

logger = logging.getLogger(__name__)

WORKER_TTL_S: Final = 30
MONITORING_INTERVAL_S: Final = 5
MAINTENANCE_INTERVAL_S: Final = 30
RECONNECT_S: Final = 2.0
SERVING_LOOK_EVERY_S: Final = 0.5
"""How often a worker that takes no job looks whether the model server is back."""
DRAIN_S: Final = 3.0
"""A worker that is to stop gives its job this long to end; honcho kills after 5 seconds, Docker after 10."""

OnLost = Callable[[str, int, errors.JobError], None]
"""Called with job id, attempt and the reason when an attempt ended without having told its own end."""


def nothing() -> None:
    """Stand in for an `on_maintenance` that is not needed."""


def always() -> bool:
    """Stand in for a `serving_is_there` where nobody looks."""
    return True


@dataclass(frozen=True)
class WorkRules:
    """How a worker takes and ends jobs.

    Attributes:
        drain_s: A worker that is to stop gives its job this long to end.
        patience_s: So much longer than its time limit may a job take, while it waits for the model server.
        serving_is_there: Asked before a job is taken; while it says no, jobs stay in the queue.
        on_maintenance: Called every `MAINTENANCE_INTERVAL_S` between two jobs.
    """

    drain_s: float = DRAIN_S
    patience_s: float = 0.0
    serving_is_there: Callable[[], bool] = always
    on_maintenance: Callable[[], None] = nothing


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

    Asked to stop, it lets the job under way end by itself for `drain_s`, then has the horse give it back. While
    the model server is away it takes no job.
    """

    job_class = AllowListJob
    death_penalty_class = _Alarm
    log_result_lifespan = False
    max_connection_wait_time = RECONNECT_S

    def __init__(self, connection: Redis, on_lost: OnLost, rules: WorkRules) -> None:
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
        self._rules = rules
        self._overran = False
        self._under_way: tuple[Job, float] | None = None
        self._picks = 0

    @property
    def asked_to_stop(self) -> bool:
        """Whether a signal asked for the end, as opposed to a failure of Redis."""
        return self._shutdown_requested_date is not None

    def check_for_suspension(self, burst: bool) -> None:
        """Wait, before each pick, until the model server is there; the worker goes on beating meanwhile."""
        super().check_for_suspension(burst)
        if self._tell_serving():
            return
        logger.warning("no job is taken until the model server answers")
        while not self._tell_serving() and not self._stop_requested:
            self.heartbeat()
            if self.should_run_maintenance_tasks:
                self.run_maintenance_tasks()
            time.sleep(SERVING_LOOK_EVERY_S)
        logger.info("jobs are taken again")

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Have a job made, unless the model server went away while the worker waited for one; then it waits on."""
        if not self._rules.serving_is_there():
            queue.push_job_id(job.id, at_front=True)
            return
        job.timeout = int(job.timeout or 0) + math.ceil(self._rules.patience_s)
        super().execute_job(job, queue)

    def _tell_serving(self) -> bool:
        """Tell those who look at the queue whether the model server is there; the answer."""
        is_there = self._rules.serving_is_there()
        if is_there:
            self.connection.hdel(self.key, SERVING_AWAY_FIELD)
        else:
            self.connection.hset(self.key, SERVING_AWAY_FIELD, "1")
        return is_there

    def reorder_queues(self, reference_queue: Queue) -> None:  # noqa: ARG002  RQ tells what it took
        """Choose, after each pick, which lane is looked into first at the next one."""
        self._picks += 1
        is_routines_turn = self._picks % ROUTINE_EVERY == ROUTINE_EVERY - 1
        self._ordered_queues = self.queues[::-1] if is_routines_turn else self.queues[:]

    def run_maintenance_tasks(self) -> None:
        """Every `MAINTENANCE_INTERVAL_S` between two jobs."""
        super().run_maintenance_tasks()  # type: ignore[no-untyped-call]  # RQ leaves it untyped
        self._rules.on_maintenance()

    def subscribe(self) -> None:
        """Take no commands over Redis: anybody who can write there could stop workers and kill jobs by them."""

    def handle_warm_shutdown_request(self) -> None:
        """Start the time after which the horse is told to give its job back."""
        hurry = Timer(self._rules.drain_s, self._hurry_horse)
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
            self._tell_serving()
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
        the start is told to it again, by the time that went by.
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


def make_worker(redis_url: str, on_lost: OnLost, rules: WorkRules | None = None) -> MetsegWorker:
    """A worker on the queue, to be run by `.work()`; raises `QueueUnavailableError`."""
    with redis_errors():
        return MetsegWorker(connect(redis_url), on_lost, rules or WorkRules())


def work_until_stopped(redis_url: str, on_lost: OnLost, rules: WorkRules) -> None:
    """Run a worker until SIGTERM or SIGINT, starting over whenever Redis went away."""
    while True:
        worker = None
        try:
            worker = make_worker(redis_url, on_lost, rules)
            logger.info("worker listens", extra={"queue": ",".join(QUEUE_NAMES.values())})
            worker.work(logging_level="WARNING")
        except (errors.QueueUnavailableError, RedisError):
            logger.warning("Redis does not answer, trying again in %g s", RECONNECT_S)
        if worker is not None and worker.asked_to_stop:
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        time.sleep(RECONNECT_S)
