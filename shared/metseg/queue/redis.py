"""Connections to Redis, and the keys under which the queue keeps its state."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from metseg import errors
from metseg.queue.circuit_breaker import CircuitBreaker, CircuitOpenError

GUARDED_ANSWER_S: Final = 1.0
"""The time limit of a client with a circuit breaker, which is for those whose callers wait."""

TOTALS_KEY: Final = "metseg:totals"
"""Counts since Redis began: `ended:<state>:<code>`, `seconds:<stage>` with `times:<stage>`, and
`dispatcher.RETRIES`."""


PROGRESS_KEY: Final = "metseg:progress:{}"


CANCEL_KEY: Final = "metseg:cancel:{}"


NEWS_CHANNEL: Final = "metseg:news"
"""Where the id of a job is published once something about it has changed; see `metseg.queue.notifications`."""


WATCHED_KEY: Final = "metseg:watched"
"""The jobs that `metseg.queue.reconciler` recovers; they are on the list before they wait."""


HOLDER_KEY: Final = "metseg:holder:{}"
DUE_KEY: Final = "metseg:due"
LOST_KEY: Final = "metseg:lost"
SCANNED_KEY: Final = "metseg:scanned"
LEADER_KEY: Final = "metseg:reconciler"
OPEN_KEY: Final = "metseg:open:{}"
"""The jobs of an owner that have not ended, and some that have: who needs the number looks which."""

KEPT_S: Final = 24 * 3600
"""How long a waiting attempt, its progress and its cancel flag stay in Redis."""


CONNECT_TIMEOUT_S: Final = 1.0


ANSWER_TIMEOUT_S: Final = 2.0


_THERE: Final = """
local there = {}
for number, key in ipairs(KEYS) do
  local left_ms = redis.call('PTTL', key)
  if left_ms > tonumber(ARGV[1]) then redis.call('PEXPIRE', key, ARGV[1]) end
  there[number] = left_ms == -2 and 0 or 1
end
return there
"""


class _GuardedRetry(Retry):
    """Tries a lost connection once more, but no call that timed out; redis-py makes every call through it."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        super().__init__(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
        self._breaker = breaker

    def call_with_retry(self, *call: Any, **how: Any) -> Any:
        try:
            with self._breaker.call():
                return super().call_with_retry(*call, **how)
        except CircuitOpenError as exc:
            raise RedisTimeoutError("it did not answer a moment ago") from exc


def connect(redis_url: str, breaker: CircuitBreaker | None = None) -> Redis:
    """A client of that Redis, which need not be up yet; it waits seconds for an answer, not minutes.

    Args:
        redis_url: Where Redis listens.
        breaker: Shared by clients that are not to wait one after the other for a Redis that is frozen.

    Raises:
        SettingsError: the address is none of a Redis.
    """
    try:
        return Redis.from_url(
            redis_url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S if breaker is None else GUARDED_ANSWER_S,
            retry=Retry(NoBackoff(), 1) if breaker is None else _GuardedRetry(breaker),
        )
    except ValueError as exc:
        raise errors.SettingsError(f"METSEG_REDIS_URL: expected redis://host:port/number, {exc}") from exc


def are_there(connection: Redis, keys: Sequence[str], *, longest_s: float) -> list[bool]:
    """Whether each of some keys is there, none of which is ever given a longer life than `longest_s`.

    Redis counts lifetimes by its wall clock. Once that was put back by an hour, the key of somebody who died would
    live for an hour more; so a key is cut down here to the life that it can have been given.
    """
    if not keys:
        return []
    found = connection.eval(_THERE, len(keys), *keys, str(round(1000 * longest_s)))
    return [bool(one) for one in cast(list[int], found)]


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn what goes wrong with Redis into `QueueUnavailableError`."""
    try:
        yield
    except RedisError as exc:
        raise errors.QueueUnavailableError(f"The job queue does not answer ({type(exc).__name__}).") from exc
