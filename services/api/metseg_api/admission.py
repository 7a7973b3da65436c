"""Whether one more request, and one more job, can be taken now.

For everyone: how many jobs may wait, and how much room the store must keep. For each API key: how many requests a
minute. For each owner: how many jobs under way. The counts are in Redis. In a wiped one requests are counted anew,
and jobs again as soon as the reconciler has found them in the store, seconds later.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from uuid import uuid4

from metseg.blobs import BlobStore
from metseg.dispatch import Dispatcher, connect, redis_errors
from metseg.errors import JobGoneError, JobNotFoundError, QueueUnavailableError
from metseg.holders import OPEN_KEY
from metseg.jobstore import JobStore
from metseg.waiting_line import WaitingLine
from metseg_api.errors import QueueFullError, QuotaError, RateLimitedError, StoreFullError
from metseg_api.settings import ApiSettings

RATE_KEY = "metseg:rate:{}"
WINDOW_S = 60
"""How long a request counts."""
SHORTEST_WAIT_S, LONGEST_WAIT_S = 5.0, 300.0

# A set of the requests that count, each under the microsecond of Redis' own clock at which it came.
_RATE = """
local told = redis.call('TIME')
local now, window = told[1] * 1000000 + told[2], tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now - window)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
    return redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] + window - now
end
redis.call('ZADD', KEYS[1], now, ARGV[3])
redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
return 0
"""


@dataclass(frozen=True)
class Limits:
    """How much is too much.

    Attributes:
        queued: Attempts that may wait for a worker.
        free_bytes: Room that the store keeps when an upload has been taken.
        requests_per_minute: Of one API key, in any 60 seconds.
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
        self._rate_script = self._redis.register_script(_RATE)
        self._limits = limits

    def check_rate(self, key_id: str) -> None:
        """Count a request of a key; while Redis is down none is counted, and neither is one that is refused.

        Raises:
            RateLimitedError: It is one too many in the last minute; told with the time until the first of these
                is a minute ago.
        """
        most = self._limits.requests_per_minute
        with suppress(QueueUnavailableError):
            with redis_errors():
                wait_us = self._rate_script(
                    keys=[RATE_KEY.format(key_id)], args=[most, int(WINDOW_S * 1e6), uuid4().hex]
                )
            if wait_us:
                raise RateLimitedError(f"This key may ask {most} times a minute.", int(wait_us) / 1e6)

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

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


def _has_ended(jobs: JobStore, job_id: str) -> bool:
    try:
        jobs.load(job_id)
    except (JobGoneError, JobNotFoundError):
        return True
    return jobs.final(job_id) is not None
