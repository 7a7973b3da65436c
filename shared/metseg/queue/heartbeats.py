"""Who has a job right now: the heartbeats of those at work, and the list of jobs that want to be looked after.

All of it is in Redis and may be lost: living processes beat again, and the list is made again from the store. Who
may end a job is decided in the store alone (`JobStore.end_attempt`).
"""

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Final, cast

from metseg.errors import QueueUnavailableError
from metseg.queue.circuit_breaker import CircuitBreaker
from metseg.queue.owner_index import JobLists
from metseg.queue.redis import (
    DUE_KEY,
    HOLDER_KEY,
    KEPT_S,
    LEADER_KEY,
    LOST_KEY,
    OPEN_KEY,
    SCANNED_KEY,
    WATCHED_KEY,
    are_there,
    connect,
    redis_errors,
)
from metseg.schemas.job import is_job_id

UPLOAD: Final = 0
"""The API holds a job under this number, below that of any attempt, while its upload is on the way."""
BEAT_EVERY_S: Final = 1.0
BEAT_LASTS_S: Final = 10
LEAD_LASTS_S: Final = 8.0
SCAN_EVERY_S: Final = 30
MOST_AT_ONCE: Final = 100

_BEAT: Final = """
local held = redis.call('GET', KEYS[1])
if held and tonumber(held) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""


def ignore(_held: bool) -> None:
    """The `on_beat` of a holder that does not care."""


class JobLeases:
    """Heartbeats, the list of watched jobs, the leading reconciler, and (as `lists`) the jobs of each owner.

    Every method but `holding` raises `QueueUnavailableError` when Redis does not answer within a few seconds.
    """

    def __init__(self, redis_url: str, breaker: CircuitBreaker | None = None) -> None:
        self._redis = connect(redis_url, breaker)
        self.lists = JobLists(redis_url, breaker)
        self._beat_script = self._redis.register_script(_BEAT)
        self._lead = self._redis.lock(LEADER_KEY, timeout=LEAD_LASTS_S, thread_local=False)

    @contextmanager
    def holding(
        self,
        job_id: str,
        attempt: int,
        *,
        most_s: float = float("inf"),
        on_beat: Callable[[bool], None] = ignore,
    ) -> Iterator[None]:
        """Beat for a job in a thread, at most for so many seconds; while Redis is away, nobody misses a beat.

        Args:
            job_id: The job.
            attempt: Its number is the fencing token: beats of a lower one than was seen are refused.
            most_s: A process that hangs for longer is taken for dead.
            on_beat: Told in the thread, after each beat, whether it was taken.
        """
        stop = Event()
        end = time.monotonic() + most_s

        def beat() -> None:
            with suppress(QueueUnavailableError):
                on_beat(self.beat(job_id, attempt))

        def keep_beating() -> None:
            while not stop.wait(BEAT_EVERY_S) and time.monotonic() < end:
                beat()

        beat()
        thread = Thread(target=keep_beating, name="heart", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            with suppress(QueueUnavailableError):
                self.release(job_id, attempt)

    def beat(self, job_id: str, attempt: int) -> bool:
        """Say that an attempt lives; False when a later one was seen."""
        with redis_errors():
            return bool(self._beat_script(keys=[HOLDER_KEY.format(job_id)], args=[attempt, BEAT_LASTS_S]))

    def release(self, job_id: str, attempt: int) -> None:
        """Say that an attempt is over."""
        key = HOLDER_KEY.format(job_id)
        with redis_errors():
            if self._redis.get(key) == str(attempt).encode():
                self._redis.delete(key)

    def is_held(self, job_id: str) -> bool:
        """Whether somebody beats for a job."""
        with redis_errors():
            return are_there(self._redis, [HOLDER_KEY.format(job_id)], longest_s=BEAT_LASTS_S) == [True]

    def report_lost(self, job_id: str, attempt: int, code: str) -> None:
        """Say that an attempt ended without having told its own end, and why."""
        with redis_errors():
            self._redis.hset(LOST_KEY, f"{job_id}-{attempt}", code)
        self.release(job_id, attempt)

    def lost(self) -> list[tuple[str, int, str]]:
        """The reports of lost attempts: job id, attempt and code."""
        with redis_errors():
            reports = cast(Mapping[bytes, bytes], self._redis.hgetall(LOST_KEY))
        split = [(*_text(name).rpartition("-"), _text(code)) for name, code in reports.items()]
        return [
            (job_id, int(attempt), code)
            for job_id, _, attempt, code in split
            if is_job_id(job_id) and re.fullmatch(r"[1-9]\d{0,5}", attempt)
        ]

    def drop_report(self, job_id: str, attempt: int) -> None:
        """Forget a report of a lost attempt."""
        with redis_errors():
            self._redis.hdel(LOST_KEY, f"{job_id}-{attempt}")

    def watch(self, job_ids: Collection[str]) -> None:
        """Have these jobs looked after until they are put away."""
        if job_ids:
            with redis_errors():
                self._redis.sadd(WATCHED_KEY, *job_ids)

    def unheld(self, waiting: Iterable[str]) -> list[str]:
        """The watched jobs, oldest first, that neither wait for a worker nor have anybody who beats for them."""
        with redis_errors():
            watched = set(_ids(self._redis.smembers(WATCHED_KEY)))
            idle = sorted(watched.difference(waiting))
            held = are_there(self._redis, [HOLDER_KEY.format(one) for one in idle], longest_s=BEAT_LASTS_S)
        return [job_id for job_id, is_held in zip(idle, held, strict=True) if not is_held]

    def count_open(self, owner: str, job_id: str) -> None:
        """Count a job among those of its owner that have not ended."""
        name = OPEN_KEY.format(owner)
        with redis_errors():
            self._redis.sadd(name, job_id)
            self._redis.expire(name, KEPT_S)

    def put_off(self, job_id: str, until: float) -> None:
        """Have a job looked at again at that time, in seconds since 1970."""
        with redis_errors():
            self._redis.zadd(DUE_KEY, {job_id: until})

    def unwatch(self, job_id: str) -> None:
        """Have a job looked at only when it is due."""
        with redis_errors():
            self._redis.srem(WATCHED_KEY, job_id)

    def forget(self, job_id: str) -> None:
        """Know nothing of a job any more."""
        with redis_errors():
            self._redis.srem(WATCHED_KEY, job_id)
            self._redis.zrem(DUE_KEY, job_id)

    def due(self) -> list[str]:
        """Jobs whose time has come, by the clock here and by that of Redis; at most `MOST_AT_ONCE`.

        What is erased does not come back, so one clock that is ahead is not enough.
        """
        with redis_errors():
            now = min(time.time(), self._redis.time()[0])
            found = self._redis.zrangebyscore(DUE_KEY, 0, now, start=0, num=MOST_AT_ONCE)
        return _ids(found)

    def known(self) -> set[str]:
        """Every job that will be due some day."""
        with redis_errors():
            return set(_ids(self._redis.zrange(DUE_KEY, 0, -1)))

    def begin_scan(self) -> bool:
        """Whether the store is to be looked through: every `SCAN_EVERY_S`, and once Redis has lost its data."""
        with redis_errors():
            if are_there(self._redis, [SCANNED_KEY], longest_s=SCAN_EVERY_S) == [True]:
                return False
            return bool(self._redis.set(SCANNED_KEY, b"1", nx=True, ex=SCAN_EVERY_S))

    def lead(self) -> bool:
        """Become or stay the leading reconciler; False while another one leads."""
        with redis_errors():
            if self._lead.owned():
                return bool(self._lead.reacquire())
            if are_there(self._redis, [LEADER_KEY], longest_s=LEAD_LASTS_S) == [True]:
                return False
            return bool(self._lead.acquire(blocking=False))

    def is_led(self) -> bool:
        """Whether a reconciler leads now."""
        with redis_errors():
            return bool(self._redis.exists(LEADER_KEY))

    def step_down(self) -> None:
        """Let another one lead at once."""
        with redis_errors():
            if self._lead.owned():
                self._lead.release()

    def close(self) -> None:
        """Close the connections."""
        self.lists.close()
        self._redis.close()


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _ids(found: object) -> list[str]:
    """The job ids among what Redis answered; it may hold anything, if somebody else can write there."""
    return [name for name in map(_text, cast(Iterable[bytes], found)) if is_job_id(name)]
