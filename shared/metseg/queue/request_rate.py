"""How many requests a key has made in the last minute; in a wiped Redis they are counted again."""

from typing import Final
from uuid import uuid4

from metseg.queue.circuit_breaker import CircuitBreaker
from metseg.queue.redis import connect, redis_errors

RATE_KEY: Final = "metseg:rate:{}"
WINDOW_S = 60
"""How long a request counts."""

# A set of the requests that count, each under the microsecond of Redis' own clock at which it came.
_RATE: Final = """
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


class RequestRate:
    """Counts requests by a sliding window."""

    def __init__(self, redis_url: str, breaker: CircuitBreaker | None = None) -> None:
        self._redis = connect(redis_url, breaker)
        self._script = self._redis.register_script(_RATE)

    def count(self, key_id: str, most: int) -> float:
        """Count a request of a key, unless it is one too many.

        Returns:
            0, or the seconds until the first of the requests that count is a minute ago.

        Raises:
            QueueUnavailableError: Redis does not answer.
        """
        with redis_errors():
            wait_us = self._script(keys=[RATE_KEY.format(key_id)], args=[most, int(WINDOW_S * 1e6), uuid4().hex])
        return int(wait_us) / 1e6

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
