"""The deliveries of a job's webhook, in the blob store, so that none is lost with a process or with Redis.

webhooks/due/<job>             put before `job.json`, removed once nothing is left to deliver
jobs/<job>/webhook/<n>/claim.json, end.json    one attempt, each put if absent: who claims it sends it

It goes with the job: what is deleted or has expired is no longer told to anybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from pydantic import AwareDatetime, ValidationError

from metseg.errors import BlobNotFoundError, StoreError
from metseg.jobs.store import JobStore
from metseg.schemas.job import Schema

DUE_FOLDER = "webhooks/due"
PAUSES: Final = (
    timedelta(seconds=5),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
    timedelta(hours=12),
)
"""Between an attempt that failed and the next; after as many attempts and one more the delivery is given up."""
GONE = 410
"""A receiver that answers so wants no more (Standard Webhooks)."""


class Outcome(StrEnum):
    """How an attempt ended."""

    DELIVERED = "delivered"
    BAD_STATUS = "bad_status"
    """The receiver answered, but not with 2xx; a redirect is not followed."""
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    """No connection, no valid certificate, or no HTTP."""
    NAME_UNKNOWN = "name_unknown"
    ADDRESS_REFUSED = "address_refused"
    """The name leads to an address that is not public."""
    LOST = "lost"
    """The process that made the attempt died in it; the receiver may have heard."""


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class DeliveryEnd(Schema):
    """`end.json`: how an attempt ended, and the receiver's status where it answered."""

    ended_at: AwareDatetime
    outcome: Outcome
    status: int | None = None


class Claim(Schema):
    """`claim.json`: when an attempt began."""

    began_at: AwareDatetime


class Delivery(Schema):
    """One attempt at a delivery; `ended_at` and what follows are None while it is under way."""

    number: int
    began_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    outcome: Outcome | None = None
    status: int | None = None


@dataclass(frozen=True)
class Standing:
    """Where a delivery stands; `next_at` is None unless another attempt is to come."""

    state: DeliveryState
    next_at: datetime | None = None


def is_last(number: int, status: int | None) -> bool:
    """Whether no attempt follows one of that number that did not deliver; `status` is the receiver's."""
    return status == GONE or number > len(PAUSES)


def standing(attempts: Sequence[Delivery], finished_at: datetime | None) -> Standing:
    """Where the delivery of a job's end stands; `finished_at` is None while the job has not ended."""
    last = attempts[-1] if attempts else None
    if last is None:
        return Standing(DeliveryState.PENDING, finished_at)
    if last.outcome is Outcome.DELIVERED:
        return Standing(DeliveryState.DELIVERED)
    if last.ended_at is None:
        return Standing(DeliveryState.PENDING)
    if is_last(len(attempts), last.status):
        return Standing(DeliveryState.GIVEN_UP)
    return Standing(DeliveryState.PENDING, last.ended_at + PAUSES[len(attempts) - 1])


class Deliveries:
    """Reads and writes them; holds no state of its own."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._blobs = jobs.blobs

    def ask(self, job_id: str) -> None:
        """Have a job's end delivered; to be called before the job is created, so that no end goes untold."""
        self._blobs.put(f"{DUE_FOLDER}/{job_id}", b"")

    def due(self) -> list[str]:
        """The jobs of which something is left to deliver, ended or not, oldest first."""
        return self._blobs.names(DUE_FOLDER)

    def settle(self, job_id: str) -> None:
        """Have nothing more delivered of a job."""
        self._blobs.delete(f"{DUE_FOLDER}/{job_id}")

    def claim(self, job_id: str, number: int) -> bool:
        """Take an attempt; False if another has it already."""
        claim = Claim(began_at=datetime.now(UTC))
        return self._blobs.put_if_absent(
            self._jobs.webhook_key(job_id, number, "claim.json"), claim.model_dump_json().encode()
        )

    def end(self, job_id: str, number: int, outcome: Outcome, status: int | None = None) -> bool:
        """Note how an attempt ended; False if that is known already."""
        end = DeliveryEnd(ended_at=datetime.now(UTC), outcome=outcome, status=status)
        return self._blobs.put_if_absent(
            self._jobs.webhook_key(job_id, number, "end.json"), end.model_dump_json().encode()
        )

    def attempts(self, job_id: str) -> list[Delivery]:
        """All attempts at a job's delivery, in order."""
        found: list[Delivery] = []
        while True:
            try:
                found.append(self._attempt(job_id, len(found) + 1))
            except BlobNotFoundError:
                return found

    def _attempt(self, job_id: str, number: int) -> Delivery:
        def read(name: str) -> bytes:
            return self._blobs.get(self._jobs.webhook_key(job_id, number, name))

        try:
            begun = Delivery(number=number, began_at=Claim.model_validate_json(read("claim.json")).began_at)
            try:
                end = DeliveryEnd.model_validate_json(read("end.json"))
            except BlobNotFoundError:
                return begun
        except ValidationError:
            raise StoreError("the store holds no delivery where it should: a record is damaged") from None
        return begun.model_copy(update=dict(end))
