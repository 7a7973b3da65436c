"""`Idempotency-Key`: a sender that repeats itself gets the job it has, and no second one.

Which job has a key stands in the blob store, put if absent, for as long as the job does; a wiped Redis forgets no
key. Redis only knows the keys whose first upload is still on its way, so that the second need not be read at all.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CancelScope
from anyio.to_thread import run_sync

from metseg.errors import RequestError
from metseg.queue.circuit_breaker import CircuitBreaker
from metseg.queue.upload_locks import UploadLocks
from metseg.schemas.job import JobRecord
from metseg_api.errors import KeyInFlightError, KeyReusedError

_KEY = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")


def key_digest(header: str | None, owner: str | None) -> str | None:
    """What is kept of an Idempotency-Key: a digest over it and the job's owner; None without a key.

    Raises:
        RequestError: The key is empty, too long, or not of printable ASCII.
    """
    if header is None:
        return None
    if not _KEY.fullmatch(header):
        raise RequestError("An Idempotency-Key has 1 to 255 printable ASCII characters.")
    return hashlib.sha256(f"{owner or ''}\0{header}".encode()).hexdigest()


def check_same(earlier: JobRecord, repeated: JobRecord) -> None:
    """Make sure that a repetition asks for what the key's job was made for.

    Raises:
        KeyReusedError: It has another file or other fields.
    """
    if _files(earlier) != _files(repeated) or earlier.request != repeated.request:
        raise KeyReusedError("This Idempotency-Key belongs to a job with another file or other fields.")


def _files(record: JobRecord) -> list[list[str]]:
    return [[one.sha256 for one in files] for files in (record.inputs, record.previous_inputs)]


class KeysInFlight:
    """The keys whose upload is on its way, among all APIs of one Redis."""

    def __init__(self, redis_url: str, breaker: CircuitBreaker | None = None) -> None:
        self._locks = UploadLocks(redis_url, breaker)

    @asynccontextmanager
    async def holding(self, key: str | None) -> AsyncIterator[None]:
        """Hold a key (its digest) while its upload is taken; without a key nothing is held.

        Raises:
            KeyInFlightError: Another upload holds it.
            QueueUnavailableError: Redis does not answer.
        """
        if key is None:
            yield
            return
        let_go = await run_sync(self._locks.take, key)
        if let_go is None:
            raise KeyInFlightError("An upload with this Idempotency-Key is on its way; ask again when it is done.")
        try:
            yield
        finally:
            with CancelScope(shield=True):
                await run_sync(let_go)

    def close(self) -> None:
        """Close the connections."""
        self._locks.close()
