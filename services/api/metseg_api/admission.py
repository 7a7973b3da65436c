"""Whether one more request, and one more job, can be taken now.

For everyone: how many jobs may wait, and how much room the store must keep. For each API key: how many requests a
minute. For each owner: how many jobs under way. The counts are in Redis: a wiped one counts anew, and lets more
through for a while.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from metseg.blobs import BlobStore
from metseg.dispatch import Dispatcher, connect, redis_errors
from metseg.errors import JobGoneError, JobNotFoundError, QueueUnavailableError
from metseg.jobstore import JobStore
from metseg.waiting_line import WaitingLine
from metseg_api.errors import QueueFullError, QuotaError, RateLimitedError, StoreFullError
from metseg_api.settings import ApiSettings

RATE_KEY = "metseg:rate:{}:{}"
OPEN_KEY = "metseg:open:{}"
WINDOW_S = 60
SHORTEST_WAIT_S, LONGEST_WAIT_S = 5.0, 300.0
OPEN_KEPT_S = 24 * 3600


@dataclass(frozen=True)
class Limits:
    """How much is too much.

    Attributes:
        queued: Attempts that may wait for a worker.
        free_bytes: Room that the store keeps when an upload has been taken.
        requests_per_minute: Of one API key, in each minute of the clock.
        open_jobs: Jobs of one owner that have not ended.
    """

    queued: int
    free_bytes: int
    requests_per_minute: int
    open_jobs: int

    @classmethod
    def of(cls, settings: ApiSettings) -> Self:
        """The limits that the environment sets."""
        return cls(
            queued=settings.max_queued,
            free_bytes=settings.min_free_bytes,
            requests_per_minute=settings.max_requests_per_minute,
            open_jobs=settings.max_open_jobs,
        )


class Admission:
    """Counts and compares; a method returns where there is room."""

    def __init__(self, redis_url: str, limits: Limits) -> None:
        self._redis = connect(redis_url)
        self._limits = limits

    def check_rate(self, key_id: str) -> None:
        """Count a request of a key; while Redis is down none is counted.

        Raises:
            RateLimitedError: It is one too many in this minute.
        """
        window, into_s = divmod(time.time(), WINDOW_S)
        name = RATE_KEY.format(key_id, int(window))
        with suppress(QueueUnavailableError):
            with redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
                pipeline.incr(name)
                pipeline.expire(name, 2 * WINDOW_S)
                count = int(pipeline.execute()[0])
            most = self._limits.requests_per_minute
            if count > most:
                raise RateLimitedError(f"This key may ask {most} times a minute.", WINDOW_S - into_s)

    def check_queue(self, dispatcher: Dispatcher, line: WaitingLine) -> None:
        """Make sure that one more job may wait.

        Raises:
            QueueFullError: As many wait as may; told with the time in which about ten of them will have ended.
            QueueUnavailableError: Redis does not answer.
        """
        if dispatcher.queue_length() < self._limits.queued:
            return
        pace = line.pace()
        wait_s = 10 * (pace.typical_s or LONGEST_WAIT_S) / max(pace.workers, 1)
        raise QueueFullError(
            f"{self._limits.queued} jobs wait already.", min(max(wait_s, SHORTEST_WAIT_S), LONGEST_WAIT_S)
        )

    def check_store(self, blobs: BlobStore, coming_bytes: int = 0) -> None:
        """Make sure that the store can be written and has room for so many bytes.

        Raises:
            StoreFullError: Too little room would be left.
            StoreUnavailableError: It cannot be written.
        """
        blobs.check()
        free = blobs.free_bytes()
        if free is not None and free - coming_bytes < self._limits.free_bytes:
            raise StoreFullError("The store is nearly full.", LONGEST_WAIT_S)

    def check_quota(self, owner: str, jobs: JobStore) -> None:
        """Make sure that an owner may have one more job under way; at the limit it is looked which have ended.

        Raises:
            QuotaError: The owner has as many as one may have.
            QueueUnavailableError: Redis does not answer.
        """
        name = OPEN_KEY.format(owner)
        with redis_errors():
            if int(self._redis.scard(name)) < self._limits.open_jobs:
                return
            counted = [one.decode() if isinstance(one, bytes) else one for one in self._redis.smembers(name)]
        ended = [job_id for job_id in counted if _has_ended(jobs, job_id)]
        with redis_errors():
            if ended:
                self._redis.srem(name, *ended)
        if len(counted) - len(ended) >= self._limits.open_jobs:
            raise QuotaError(f"{self._limits.open_jobs} jobs of this owner are under way.", SHORTEST_WAIT_S)

    def note(self, owner: str, job_id: str) -> None:
        """Count a job that was accepted; while Redis is down none is counted."""
        name = OPEN_KEY.format(owner)
        with suppress(QueueUnavailableError), redis_errors():
            self._redis.sadd(name, job_id)
            self._redis.expire(name, OPEN_KEPT_S)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


def _has_ended(jobs: JobStore, job_id: str) -> bool:
    try:
        jobs.load(job_id)
    except (JobGoneError, JobNotFoundError):
        return True
    return jobs.final(job_id) is not None
