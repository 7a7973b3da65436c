"""The queue between API and worker: who waits, how far a job is, and whether it is to stop.

Redis holds nothing that the blob store could not bring back: the waiting attempts (ids only, as JSON), the live
progress and the cancel flags. It is reached through this module; `queue_entry` and `rq_worker` are RQ's own side.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, cast

from pydantic import ValidationError
from redis import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue
from rq.serializers import JSONSerializer

from metseg.queue.allow_list import FUNCTION, AllowListJob
from metseg.queue.circuit_breaker import CircuitBreaker
from metseg.queue.redis import (
    CANCEL_KEY,
    KEPT_S,
    NEWS_CHANNEL,
    PROGRESS_KEY,
    TOTALS_KEY,
    WATCHED_KEY,
    connect,
    redis_errors,
)
from metseg.schemas.job import JobResult, ModelRef, Priority, Progress

QUEUE_NAMES: Final = {Priority.URGENT: "metseg-urgent", Priority.ROUTINE: "metseg"}
"""In the order in which workers look into them, but for the picks that are routine's."""
ROUTINE_EVERY: Final = 5
"""In every so many picks of a worker what is routine goes first, so that urgent jobs never starve it."""

ENDED_KEPT_S: Final = 3600
"""How long RQ remembers an attempt that ended."""
GRACE_S: Final = 30
"""RQ ends an attempt that is this much past its own time limit."""

RETRIES: Final = "retries"
"""Among the totals, the attempts at a job after its first one."""

CIRCUIT_OPEN_S: Final = 2.0
PROBE_KEY: Final = "metseg:probe"
PROBE_KEPT_S: Final = 60


class Dispatcher:
    """What API and worker say to Redis.

    Every method raises `QueueUnavailableError` when Redis does not answer within a few seconds.
    """

    def __init__(self, redis_url: str, breaker: CircuitBreaker | None = None) -> None:
        self._redis = connect(redis_url, breaker)
        self._queues = {lane: open_queue(self._redis, lane) for lane in Priority}

    def ping(self) -> None:
        """Return when Redis answers."""
        with redis_errors():
            self._redis.ping()

    def check_writable(self) -> None:
        """Return when Redis takes a write; one that is full, read-only or cannot save answers and takes none."""
        with redis_errors():
            self._redis.set(PROBE_KEY, b"1", ex=PROBE_KEPT_S)

    def enqueue(
        self, job_id: str, attempt: int, *, timeout_s: float, priority: Priority = Priority.ROUTINE
    ) -> None:
        """Hand an attempt to the workers, unless it waits already; one that is not its job's first is counted.

        The worker itself gives up after `timeout_s`; RQ ends what has not ended `GRACE_S` later. Two who enqueue
        the same attempt at the same moment may make it wait twice; it can be claimed only once.
        """
        entry = f"{job_id}-{attempt}"
        queue = self._queues[priority]
        with redis_errors():
            self._redis.sadd(WATCHED_KEY, job_id)
            if self._redis.lpos(queue.key, entry) is not None:
                return
            self._redis.lrem(queue.intermediate_queue_key, 0, entry)  # of a worker that died taking it
            self._redis.delete(AllowListJob.key_for(entry))
            queue.enqueue(
                FUNCTION,
                args=(job_id, attempt),
                job_id=entry,
                description=f"{FUNCTION} {job_id} {attempt}",
                job_timeout=math.ceil(timeout_s) + GRACE_S,
                ttl=KEPT_S,
                result_ttl=ENDED_KEPT_S,
                failure_ttl=ENDED_KEPT_S,
            )
            if attempt > 1:
                self._redis.hincrby(TOTALS_KEY, RETRIES, 1)

    def waiting(self) -> set[str]:
        """The jobs that wait for a worker."""
        with redis_errors():
            entries = [entry for queue in self._queues.values() for entry in queue.get_job_ids()]
        return {entry.rpartition("-")[0] for entry in entries}

    def write_progress(self, job_id: str, progress: Progress) -> None:
        """Replace what `read_progress` answers of a job, and tell those who listen."""
        with redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.set(PROGRESS_KEY.format(job_id), progress.model_dump_json(), ex=KEPT_S)
            pipeline.publish(NEWS_CHANNEL, job_id)
            pipeline.execute()

    def read_progress(self, job_ids: Sequence[str]) -> dict[str, Progress]:
        """How far jobs are; without those that have not started or that Redis has forgotten."""
        if not job_ids:
            return {}
        with redis_errors():
            texts = cast(list[bytes | None], self._redis.mget([PROGRESS_KEY.format(one) for one in job_ids]))
        told: dict[str, Progress] = {}
        for job_id, text in zip(job_ids, texts, strict=True):
            with suppress(ValidationError):
                told[job_id] = Progress.model_validate_json(text or b"")
        return told

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

    def tell_end(self, end: JobResult, timings_s: Mapping[str, float]) -> None:
        """Tell those who listen that a job has ended, and count how.

        Args:
            end: How it did, as the store has it by now.
            timings_s: The seconds in each stage of its last attempt, where they are known.
        """
        code = end.failure.code if end.failure else ""
        with redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.publish(NEWS_CHANNEL, end.job_id)
            pipeline.hincrby(TOTALS_KEY, f"ended:{end.state.value}:{code}", 1)
            for stage, seconds in timings_s.items():
                pipeline.hincrbyfloat(TOTALS_KEY, f"seconds:{stage}", seconds)
                pipeline.hincrby(TOTALS_KEY, f"times:{stage}", 1)
            pipeline.execute()

    def count_agreement(self, canary: ModelRef, stable: int, dice: float, *, same_count: bool) -> None:
        """Count that a canary was compared with the stable version of its model on one scan.

        Args:
            canary: Its model and version.
            stable: The version it was compared with.
            dice: Overlap of the two masks, 0 to 1.
            same_count: Whether both found as many lesions.
        """
        pair = f"{canary.name}:{canary.version}:{stable}"
        with redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hincrbyfloat(TOTALS_KEY, f"dice:{pair}", dice)
            pipeline.hincrby(TOTALS_KEY, f"compared:{pair}", 1)
            pipeline.hincrby(TOTALS_KEY, f"same_count:{pair}", int(same_count))
            pipeline.execute()

    def totals(self) -> dict[str, float]:
        """What `tell_end` and `count_agreement` have counted, by the names of `TOTALS_KEY`."""
        with redis_errors():
            counted = self._redis.hgetall(TOTALS_KEY)
        return {name.decode(): float(value) for name, value in counted.items() if isinstance(name, bytes)}

    def queue_length(self) -> int:
        """How many attempts wait for a worker."""
        with redis_errors():
            return sum(int(queue.count) for queue in self._queues.values())

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


def open_queue(connection: Redis, lane: Priority = Priority.ROUTINE) -> Queue:
    """A lane of the queue that API and worker share."""
    return Queue(QUEUE_NAMES[lane], connection=connection, job_class=AllowListJob, serializer=JSONSerializer)


def redis_breaker() -> CircuitBreaker:
    """A circuit breaker for the clients of one Redis in one process."""
    return CircuitBreaker(RedisTimeoutError, open_s=CIRCUIT_OPEN_S)
