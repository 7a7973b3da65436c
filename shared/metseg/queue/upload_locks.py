"""Locks for uploads with the same idempotency key."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from metseg.errors import QueueUnavailableError
from metseg.queue.circuit_breaker import CircuitBreaker
from metseg.queue.redis import are_there, connect, redis_errors

LOCK_KEY: Final = "metseg:key:{}"
LASTS_S: Final = 120.0
"""An upload that takes longer, or whose API died, no longer keeps a repetition out: the store decides then."""


class UploadLocks:
    """One lock for each digest of a key."""

    def __init__(self, redis_url: str, breaker: CircuitBreaker | None = None) -> None:
        self._redis = connect(redis_url, breaker)

    def take(self, digest: str) -> Callable[[], None] | None:
        """Take a lock and return what lets go of it; None where somebody holds it.

        Raises:
            QueueUnavailableError: Redis does not answer.
        """
        name = LOCK_KEY.format(digest)
        lock = self._redis.lock(name, timeout=LASTS_S, thread_local=False)

        def let_go() -> None:
            with suppress(QueueUnavailableError), redis_errors():  # it may have run out meanwhile
                lock.release()

        with redis_errors():
            if are_there(self._redis, [name], longest_s=LASTS_S) == [True] or not lock.acquire(blocking=False):
                return None
        return let_go

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
