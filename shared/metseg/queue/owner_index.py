"""The jobs of each owner, newest first, so that a list of them costs as much as its page.

The lists are in Redis and may be lost: the reconciler makes them again from the store. Until it has, they are not
complete, and the store is searched instead.
"""

from collections.abc import Iterable
from typing import Final, cast

from metseg.queue.circuit_breaker import CircuitBreaker
from metseg.queue.redis import connect, redis_errors
from metseg.schemas.job import is_job_id

OWNED_KEY: Final = "metseg:jobs:{}"
"""A sorted set of job ids, all of score 0, so that Redis keeps them in the order of their text."""
COMPLETE_KEY: Final = "metseg:jobs-listed"


class JobLists:
    """Every method raises `QueueUnavailableError` when Redis does not answer within a few seconds."""

    def __init__(self, redis_url: str, breaker: CircuitBreaker | None = None) -> None:
        self._redis = connect(redis_url, breaker)

    def add(self, owner: str | None, job_id: str) -> None:
        """List a job under its owner; one without an owner is on no list."""
        if owner is not None:
            with redis_errors():
                self._redis.zadd(OWNED_KEY.format(owner), {job_id: 0})

    def remove(self, owner: str | None, job_id: str) -> None:
        """Take a job off its owner's list."""
        if owner is not None:
            with redis_errors():
                self._redis.zrem(OWNED_KEY.format(owner), job_id)

    def page(self, owner: str, *, before: str | None, limit: int) -> list[str]:
        """Return ids of an owner's jobs, newest first, beginning below `before`; some may be deleted."""
        top = "+" if before is None else f"({before}"
        with redis_errors():
            found = self._redis.zrevrangebylex(OWNED_KEY.format(owner), top, "-", 0, limit)
        names = (raw.decode(errors="replace") for raw in cast(Iterable[bytes], found))
        return [name for name in names if is_job_id(name)]

    def are_complete(self) -> bool:
        """Whether every job of the store has been listed since Redis began."""
        with redis_errors():
            return bool(self._redis.exists(COMPLETE_KEY))

    def mark_complete(self) -> None:
        """Say that every job of the store is listed."""
        with redis_errors():
            self._redis.set(COMPLETE_KEY, b"1")

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
