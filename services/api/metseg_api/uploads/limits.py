"""Whether one more request, and one more job, can be taken now.

For each API key: how many requests a minute, counted in Redis; in a wiped one they are counted again. For
everyone: how many jobs may wait, and how much room the store must keep. Uploads reserve theirs
(`metseg_api.uploads.reservations`).
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from metseg.errors import QueueUnavailableError
from metseg.queue.circuit_breaker import CircuitBreaker
from metseg.queue.dispatcher import Dispatcher
from metseg.queue.request_rate import RequestRate
from metseg.queue.statistics import WaitingLine
from metseg.storage.blob_store import BlobStore
from metseg_api.errors import QueueFullError, RateLimitedError, StoreFullError
from metseg_api.settings import ApiSettings

SHORTEST_WAIT_S, LONGEST_WAIT_S = 5.0, 300.0


@dataclass(frozen=True)
class Limits:
    """How much is too much.

    Attributes:
        queued: Attempts that may wait for a worker.
        free_bytes: Room that the store keeps when an upload has been taken.
        requests_per_minute: Of one API key, in any 60 seconds.
        open_jobs: Jobs of one owner that have not ended, uploads under way included.
        uploads: Those under way in one API process.
    """

    queued: int
    free_bytes: int
    requests_per_minute: int
    open_jobs: int
    uploads: int

    @classmethod
    def of(cls, settings: ApiSettings) -> Self:
        """The limits that the environment sets."""
        return cls(
            queued=settings.max_queued,
            free_bytes=settings.min_free_bytes,
            requests_per_minute=settings.max_requests_per_minute,
            open_jobs=settings.max_open_jobs,
            uploads=settings.max_uploads,
        )


class Admission:
    """Counts and compares; a method returns where there is room."""

    def __init__(self, redis_url: str, limits: Limits, breaker: CircuitBreaker | None = None) -> None:
        self._rate = RequestRate(redis_url, breaker)
        self._limits = limits

    def check_rate(self, key_id: str) -> None:
        """Count a request of a key; while Redis is down none is counted, and neither is one that is refused.

        Raises:
            RateLimitedError: It is one too many in the last minute; told with the time until the first of these
                is a minute ago.
        """
        most = self._limits.requests_per_minute
        with suppress(QueueUnavailableError):
            wait_s = self._rate.count(key_id, most)
            if wait_s:
                raise RateLimitedError(f"This key may ask {most} times a minute.", wait_s)

    def check_queue(self, dispatcher: Dispatcher, line: WaitingLine) -> None:
        """Make sure that one more job may wait.

        Raises:
            QueueFullError: As many wait as may.
            QueueUnavailableError: Redis does not answer.
        """
        if dispatcher.queue_length() >= self._limits.queued:
            raise queue_full(self._limits, line)

    def check_store(self, blobs: BlobStore) -> None:
        """Make sure that the store can be written and keeps its room.

        Raises:
            StoreFullError: It has too little.
            StoreUnavailableError: It cannot be written.
        """
        blobs.check()
        check_space(self._limits, blobs, 0)

    def close(self) -> None:
        """Close the connections."""
        self._rate.close()


def queue_full(limits: Limits, line: WaitingLine) -> QueueFullError:
    """Return the refusal of a full queue, told with the time in which about ten jobs will have ended.

    Raises:
        QueueUnavailableError: Redis does not answer.
    """
    pace = line.pace()
    wait_s = 10 * (pace.typical_s or LONGEST_WAIT_S) / max(pace.workers, 1)
    return QueueFullError(f"{limits.queued} jobs wait already.", min(max(wait_s, SHORTEST_WAIT_S), LONGEST_WAIT_S))


def check_space(limits: Limits, blobs: BlobStore, coming_bytes: int) -> None:
    """Make sure that a store keeps its room once so many bytes have come.

    Raises:
        StoreFullError: It would not.
        StoreUnavailableError: It does not answer.
    """
    free = blobs.free_bytes()
    if free is not None and free - coming_bytes < limits.free_bytes:
        raise StoreFullError("The store is nearly full.", LONGEST_WAIT_S)
