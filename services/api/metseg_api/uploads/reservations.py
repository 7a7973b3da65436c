"""Room for uploads that are under way, reserved before a byte of the body is read.

An upload needs a place in the queue, one among its owner's open jobs, and space in the store.
`metseg.queue.upload_room` counts them for all API processes together.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from threading import Lock
from typing import Final

from anyio import CancelScope
from anyio.to_thread import run_sync

from metseg.errors import JobGoneError, JobNotFoundError, QueueUnavailableError
from metseg.jobs.store import JobStore
from metseg.queue.circuit_breaker import CircuitBreaker
from metseg.queue.heartbeats import BEAT_EVERY_S, JobLeases
from metseg.queue.statistics import WaitingLine
from metseg.queue.upload_room import Room, UploadRoom
from metseg.schemas.job import is_job_id
from metseg_api.errors import QuotaError, TooManyUploadsError
from metseg_api.uploads.blob_upload import FLUSH_BYTES
from metseg_api.uploads.limits import SHORTEST_WAIT_S, Limits, check_space, queue_full

GROW_BYTES: Final = 4 << 20
"""An upload that does not tell its length reserves so much at a time."""


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
        self._room = UploadRoom(redis_url, breaker)
        self._limits, self._jobs, self._holders, self._line = limits, jobs, holders, line
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
        self._room.close()

    def _take_place(self) -> None:
        if self._places >= self._limits.uploads:
            raise TooManyUploadsError(f"{self._limits.uploads} uploads are under way.", SHORTEST_WAIT_S)
        self._places += 1

    def _take(self, reservation: Reservation) -> None:
        self._jobs.blobs.check()
        room, space_bytes = self._reserve(reservation)
        if room is Room.OWNER_FULL and reservation.owner is not None:
            self._drop_ended(reservation.owner)
            room, space_bytes = self._reserve(reservation)
        if room is Room.OWNER_FULL:
            raise QuotaError(f"{self._limits.open_jobs} jobs of this owner are under way.", SHORTEST_WAIT_S)
        if room is Room.QUEUE_FULL:
            raise queue_full(self._limits, self._line)
        with self._lock:
            self._held[reservation.job_id] = reservation
        try:
            check_space(self._limits, self._jobs.blobs, space_bytes)
        except BaseException:
            self._release(reservation)
            raise

    def _reserve(self, reservation: Reservation) -> tuple[Room, int]:
        limits, one = self._limits, reservation
        return self._room.reserve(
            one.job_id, one.owner, one.left_bytes, most_queued=limits.queued, most_open=limits.open_jobs
        )

    def _grow(self, reservation: Reservation) -> None:
        with self._lock:
            reservation.space_bytes = reservation.received_bytes + GROW_BYTES
            try:
                space_bytes = self._room.grow(reservation.job_id, reservation.left_bytes)
            except QueueUnavailableError:  # the uploads of other API processes are not known then
                space_bytes = sum(one.left_bytes for one in self._held.values())
        check_space(self._limits, self._jobs.blobs, space_bytes)

    def _release(self, reservation: Reservation) -> None:
        with self._lock:
            self._held.pop(reservation.job_id, None)
            with suppress(QueueUnavailableError):  # it runs out by itself
                self._room.release(reservation.job_id, reservation.owner, is_accepted=reservation.is_accepted)

    def _drop_ended(self, owner: str) -> None:
        """Look which of an owner's jobs have ended, and count them no more."""
        self._room.drop(owner, [job_id for job_id in self._room.open_jobs(owner) if self._has_ended(job_id)])

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
        self._room.beat({one.job_id: one.left_bytes for one in self._held.values()})
