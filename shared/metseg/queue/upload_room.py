"""Room for uploads that are under way: in the queue, among an owner's open jobs, and in the store.

All of it is taken by one script, so that any number of uploads at any number of API processes stay within the
limits together. What is taken lasts as long as somebody beats for the job: a process that was killed frees it
within `BEAT_LASTS_S`.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final, cast

from metseg.queue.circuit_breaker import CircuitBreaker
from metseg.queue.dispatcher import QUEUE_NAMES, open_queue
from metseg.queue.heartbeats import BEAT_LASTS_S
from metseg.queue.redis import HOLDER_KEY, KEPT_S, OPEN_KEY, connect, redis_errors

UPLOADS_KEY: Final = "metseg:uploads"
"""For each job whose upload is under way, the bytes that it may still add to the store."""

_LASTS_MS: Final = 1000 * BEAT_LASTS_S

# Counts the uploads that somebody beats for, and forgets the others. Redis counts lifetimes by its wall clock, so
# none may have more left than it can have been given; see `are_there`.
_COUNT: Final = """
local prefix, job_id, lasts_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local others, space = 0, 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local left_ms = redis.call('PTTL', prefix .. all[i])
  if left_ms > lasts_ms then redis.call('PEXPIRE', prefix .. all[i], lasts_ms) end
  if left_ms == -2 then
    redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] ~= job_id then
    others, space = others + 1, space + tonumber(all[i + 1])
  end
end
"""
_RESERVE: Final = (
    _COUNT
    + """
local bytes, most_queued, most_open, open_s = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
if most_open >= 0 and redis.call('SCARD', KEYS[2]) >= most_open then return {1, 0} end
local queued = 0
for i = 3, #KEYS do queued = queued + redis.call('LLEN', KEYS[i]) end
if queued + others >= most_queued then return {2, 0} end
redis.call('SET', prefix .. job_id, 0, 'PX', lasts_ms)
redis.call('HSET', KEYS[1], job_id, bytes)
if most_open >= 0 then
  redis.call('SADD', KEYS[2], job_id)
  redis.call('EXPIRE', KEYS[2], open_s)
end
return {0, space + bytes}
"""
)
_GROW: Final = (
    _COUNT
    + """
redis.call('HSET', KEYS[1], job_id, ARGV[4])
return space + ARGV[4]
"""
)
# An upload holds its job under the number `metseg.queue.heartbeats.UPLOAD`, 0. A worker may beat already for one
# that has just been accepted; its number is higher.
_BEAT: Final = """
for i = 3, #ARGV, 2 do
  local key = ARGV[1] .. ARGV[i]
  if tonumber(redis.call('GET', key) or 0) == 0 then redis.call('SET', key, 0, 'PX', ARGV[2]) end
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
"""
_RELEASE: Final = """
redis.call('HDEL', KEYS[1], ARGV[1])
if redis.call('GET', KEYS[2]) == '0' then redis.call('DEL', KEYS[2]) end
if ARGV[2] == '0' then redis.call('SREM', KEYS[3], ARGV[1]) end
"""


class Room(IntEnum):
    """Whether there is room for an upload, or what is full."""

    FOUND = 0
    OWNER_FULL = 1
    QUEUE_FULL = 2


class UploadRoom:
    """Every method raises `QueueUnavailableError` when Redis does not answer within a few seconds."""

    def __init__(self, redis_url: str, breaker: CircuitBreaker | None = None) -> None:
        self._redis = connect(redis_url, breaker)
        self._queues = [open_queue(self._redis, lane).key for lane in QUEUE_NAMES]

    def reserve(
        self, job_id: str, owner: str | None, left_bytes: int, *, most_queued: int, most_open: int
    ) -> tuple[Room, int]:
        """Take room for an upload, or none of it.

        Args:
            job_id: The job that it is to become.
            owner: Whose jobs it counts among; None for nobody's.
            left_bytes: What it may add to the store.
            most_queued: Attempts that may wait, uploads under way included.
            most_open: Jobs that the owner may have under way.

        Returns:
            Whether there was room, and then the bytes that this and all earlier uploads may still add.
        """
        keys = [UPLOADS_KEY, OPEN_KEY.format(owner or ""), *self._queues]
        bounds = [left_bytes, most_queued, -1 if owner is None else most_open, KEPT_S]
        with redis_errors():
            answer = self._redis.eval(_RESERVE, len(keys), *keys, *_named(job_id), *map(str, bounds))
        found, space_bytes = cast(list[int], answer)
        return Room(found), space_bytes

    def grow(self, job_id: str, left_bytes: int) -> int:
        """Change what an upload may still add, and return that of all together."""
        with redis_errors():
            return int(cast(int, self._redis.eval(_GROW, 1, UPLOADS_KEY, *_named(job_id), str(left_bytes))))

    def release(self, job_id: str, owner: str | None, *, is_accepted: bool) -> None:
        """Give back what an upload took; one that was accepted goes on counting as an open job."""
        keys = [UPLOADS_KEY, HOLDER_KEY.format(job_id), OPEN_KEY.format(owner or "")]
        with redis_errors():
            self._redis.eval(_RELEASE, len(keys), *keys, job_id, str(int(is_accepted)))

    def beat(self, left_bytes: Mapping[str, int]) -> None:
        """Keep uploads alive, with what each may still add to the store."""
        told = [text for job_id, left in left_bytes.items() for text in (job_id, str(left))]
        if told:
            with redis_errors():
                self._redis.eval(_BEAT, 1, UPLOADS_KEY, HOLDER_KEY.format(""), str(_LASTS_MS), *told)

    def open_jobs(self, owner: str) -> list[str]:
        """Return the jobs that count as open for an owner, some of which may have ended."""
        with redis_errors():
            found = cast(Iterable[bytes], self._redis.smembers(OPEN_KEY.format(owner)))
        return [raw.decode(errors="replace") for raw in found]

    def drop(self, owner: str, job_ids: Iterable[str]) -> None:
        """Count jobs of an owner as open no more."""
        if ended := list(job_ids):
            with redis_errors():
                self._redis.srem(OPEN_KEY.format(owner), *ended)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


def _named(job_id: str) -> tuple[str, str, str]:
    """Return the first arguments of the scripts that count."""
    return HOLDER_KEY.format(""), job_id, str(_LASTS_MS)
