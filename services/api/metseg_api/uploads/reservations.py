"""Room for uploads that are under way, reserved before a byte of the body is read.

An upload needs a place in the queue, one among its owner's open jobs, and space in the store. All are taken in
Redis by one script, so that any number of uploads at any number of API processes stay within the limits together.
A
reservation lasts as long as its API process beats for the job: one that was killed frees it within `BEAT_LASTS_S`.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from threading import Lock
from typing import Final, cast

from anyio import CancelScope
from anyio.to_thread import run_sync

from metseg.errors import JobGoneError, JobNotFoundError, QueueUnavailableError
from metseg.jobs.store import JobStore
from metseg.queue.circuit_breaker import CircuitBreaker
from metseg.queue.dispatcher import QUEUE_NAMES, open_queue
from metseg.queue.heartbeats import BEAT_EVERY_S, BEAT_LASTS_S, JobLeases
from metseg.queue.redis import HOLDER_KEY, KEPT_S, OPEN_KEY, connect, redis_errors
from metseg.queue.statistics import WaitingLine
from metseg.schemas.job import is_job_id
from metseg_api.errors import QuotaError, TooManyUploadsError
from metseg_api.uploads.blob_upload import FLUSH_BYTES
from metseg_api.uploads.limits import SHORTEST_WAIT_S, Limits, check_space, queue_full

UPLOADS_KEY: Final = "metseg:uploads"
"""For each job whose upload is under way, the bytes that it may still add to the store."""
GROW_BYTES: Final = 4 << 20
"""An upload that does not tell its length reserves so much at a time."""

_LASTS_MS: Final = 1000 * BEAT_LASTS_S
_QUOTA, _QUEUE = 1, 2  # why there is no room

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


@dataclass
class Reservation:
    """What one upload has reserved.

    Attributes:
        job_id: The job that it is to become.
        owner: Whose job; None where owners are not told apart.
        space_bytes: Reserved in the store, what has been written of it included.
        received_bytes: Those that have come.
        is_accepted: Whether it has become the job, which goes on counting as open.
    """

    job_id: str
    owner: str | None
    space_bytes: int
    received_bytes: int = 0
    is_accepted: bool = False

    @property
    def left_bytes(self) -> int:
        """What it may still add to the store; the last bytes that came may not be there yet."""
        return max(self.space_bytes - max(self.received_bytes - FLUSH_BYTES, 0), 0)


class Reservations:
    """Reserves room for uploads, and beats in one loop, `run`, for all that are under way in this process."""

    def __init__(
        self,
        redis_url: str,
        limits: Limits,
        jobs: JobStore,
        holders: JobLeases,
        line: WaitingLine,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._redis = connect(redis_url, breaker)
        self._limits, self._jobs, self._holders, self._line = limits, jobs, holders, line
        self._queues = [open_queue(self._redis, lane).key for lane in QUEUE_NAMES]
        self._lock = Lock()  # also around the calls that change what Redis knows of this process' uploads
        self._places = 0
        self._held: dict[str, Reservation] = {}

    @asynccontextmanager
    async def holding(self, job_id: str, owner: str | None, coming_bytes: int) -> AsyncIterator[Reservation]:
        """Hold what an upload needs until it has become a job or failed.

        Args:
            job_id: The job that it is to become.
            owner: Whose jobs it counts among; None for nobody's.
            coming_bytes: Length of the body; 0 where it is not told.

        Raises:
            TooManyUploadsError: As many uploads are under way here as may be.
            QuotaError: The owner has as many jobs under way as one may have.
            QueueFullError: The queue is full, counting uploads under way.
            StoreFullError: Too little room would be left in the store.
            StoreUnavailableError: The store cannot be written.
            QueueUnavailableError: Redis does not answer.
        """
        reservation = Reservation(job_id, owner, coming_bytes or GROW_BYTES)
        self._take_place()
        try:
            with CancelScope(shield=True):
                await run_sync(self._take, reservation)
            try:
                yield reservation
            finally:
                with CancelScope(shield=True):
                    await run_sync(self._release, reservation)
        finally:
            self._places -= 1

    async def receive(self, reservation: Reservation, size_bytes: int) -> None:
        """Count the bytes that have come, and reserve more space where they are more than was reserved.

        Raises:
            StoreFullError: Too little room would be left in the store.
        """
        reservation.received_bytes = size_bytes
        if size_bytes > reservation.space_bytes:
            await run_sync(self._grow, reservation)

    def run(self, wait: Callable[[float], bool]) -> None:
        """Beat again and again; `wait` is given the seconds to the next time and answers whether to stop."""
        while not wait(BEAT_EVERY_S):
            with suppress(QueueUnavailableError), self._lock:
                self._beat()

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _take_place(self) -> None:
        if self._places >= self._limits.uploads:
            raise TooManyUploadsError(f"{self._limits.uploads} uploads are under way.", SHORTEST_WAIT_S)
        self._places += 1

    def _take(self, reservation: Reservation) -> None:
        self._jobs.blobs.check()
        refusal, space_bytes = self._reserve(reservation)
        if refusal == _QUOTA:
            self._drop_ended(cast(str, reservation.owner))
            refusal, space_bytes = self._reserve(reservation)
        if refusal == _QUOTA:
            raise QuotaError(f"{self._limits.open_jobs} jobs of this owner are under way.", SHORTEST_WAIT_S)
        if refusal == _QUEUE:
            raise queue_full(self._limits, self._line)
        with self._lock:
            self._held[reservation.job_id] = reservation
        try:
            check_space(self._limits, self._jobs.blobs, space_bytes)
        except BaseException:
            self._release(reservation)
            raise

    def _reserve(self, reservation: Reservation) -> tuple[int, int]:
        """Return 0 and the space that this and all earlier uploads still need, or why there is no room for it."""
        limits, owner = self._limits, reservation.owner
        most_open = -1 if owner is None else limits.open_jobs
        keys = [UPLOADS_KEY, OPEN_KEY.format(owner or ""), *self._queues]
        bounds = [reservation.left_bytes, limits.queued, most_open, KEPT_S]
        with redis_errors():
            answer = self._redis.eval(_RESERVE, len(keys), *keys, *_named(reservation), *map(str, bounds))
        refusal, space_bytes = cast(list[int], answer)
        return refusal, space_bytes

    def _grow(self, reservation: Reservation) -> None:
        with self._lock:
            reservation.space_bytes = reservation.received_bytes + GROW_BYTES
            try:
                with redis_errors():
                    named = (*_named(reservation), str(reservation.left_bytes))
                    space_bytes = int(cast(int, self._redis.eval(_GROW, 1, UPLOADS_KEY, *named)))
            except QueueUnavailableError:  # the uploads of other API processes are not known then
                space_bytes = sum(one.left_bytes for one in self._held.values())
        check_space(self._limits, self._jobs.blobs, space_bytes)

    def _release(self, reservation: Reservation) -> None:
        job_id = reservation.job_id
        keys = [UPLOADS_KEY, HOLDER_KEY.format(job_id), OPEN_KEY.format(reservation.owner or "")]
        with self._lock:
            self._held.pop(job_id, None)
            with suppress(QueueUnavailableError), redis_errors():  # it runs out by itself
                self._redis.eval(_RELEASE, len(keys), *keys, job_id, str(int(reservation.is_accepted)))

    def _drop_ended(self, owner: str) -> None:
        """Look which of an owner's jobs have ended, and count them no more."""
        name = OPEN_KEY.format(owner)
        with redis_errors():
            counted = [raw.decode(errors="replace") for raw in cast(Iterable[bytes], self._redis.smembers(name))]
        ended = [job_id for job_id in counted if self._has_ended(job_id)]
        with redis_errors():
            if ended:
                self._redis.srem(name, *ended)

    def _has_ended(self, job_id: str) -> bool:
        if not is_job_id(job_id):
            return True
        if self._holders.is_held(job_id):  # before the store is asked: an upload is held until its job is there
            return False
        try:
            self._jobs.load(job_id)
        except (JobGoneError, JobNotFoundError):
            return True
        return self._jobs.final(job_id) is not None

    def _beat(self) -> None:
        told = [text for one in self._held.values() for text in (one.job_id, str(one.left_bytes))]
        if told:
            with redis_errors():
                self._redis.eval(_BEAT, 1, UPLOADS_KEY, HOLDER_KEY.format(""), str(_LASTS_MS), *told)


def _named(reservation: Reservation) -> tuple[str, str, str]:
    """Return the first arguments of the scripts that count."""
    return HOLDER_KEY.format(""), reservation.job_id, str(_LASTS_MS)
