"""The audit trail: who did what to which job, one blob an entry, each with the digest of the one before.

An entry is written before the deed, so no deed lacks one; a deed that failed afterwards has one all the same.
Where a full disk has no room for it, the files that a deletion would erase make the room first.
Entries are put if absent under ascending numbers, so that any number of APIs write one chain. To change, remove or
insert an entry breaks the chain; that its end was cut off shows when a head that was noted earlier is missing.
"""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, ValidationError

from metseg.errors import BlobNotFoundError, StoreError
from metseg.schemas.job import Schema
from metseg.storage.blob_store import BlobStore

FOLDER = "audit"
FOLDER_ENTRIES = 1000
START = "0" * 64
"""What stands in the first entry for the digest of the one before."""


class AuditError(StoreError):
    """The audit trail is not the one that was written."""

    code = "audit_broken"


class Action(StrEnum):
    """What was done."""

    SUBMIT = "submit"
    CANCEL = "cancel"
    DELETE = "delete"
    DOWNLOAD = "download"
    KEY_CREATE = "key_create"
    KEY_REVOKE = "key_revoke"
    WEBHOOK_SECRET = "webhook_secret"
    """A secret was made; `owner` tells for whom."""


class AuditEvent(Schema):
    """One action, as the audit log keeps it.

    Attributes:
        key_id: The key of who did it; None without access control and on the command line.
        owner: Whose key that is.
        subject: The artefact or the key that it was done to, where there is one.
    """

    action: Action
    key_id: str | None = None
    owner: str | None = None
    job_id: str | None = None
    subject: str | None = None
    request_id: str | None = None


class AuditEntry(Schema):
    """A deed in its place in the chain; `previous` is the digest over the whole entry before."""

    schema_version: Literal[1] = 1
    number: int
    at: AwareDatetime
    deed: AuditEvent
    previous: str

    @property
    def sha256(self) -> str:
        """The digest that the next entry holds."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


@dataclass(frozen=True)
class Head:
    """The last entry of a trail: its number and its digest."""

    number: int = 0
    sha256: str = START

    def __str__(self) -> str:
        return f"{self.number}:{self.sha256}"


class AuditTrail:
    """Appends to the trail of a store and checks it; may be used from several threads."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._lock = threading.Lock()
        self._head: Head | None = None

    def append(self, deed: AuditEvent) -> AuditEntry:
        """Write an entry behind the last one, by whichever process.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        with self._lock:
            head = self._head or self._last()
            while True:
                entry = AuditEntry(number=head.number + 1, at=datetime.now(UTC), deed=deed, previous=head.sha256)
                written = self._blobs.put_if_absent(_key(entry.number), entry.model_dump_json().encode())
                head = Head(entry.number, entry.sha256) if written else self._last()
                self._head = head
                if written:
                    return entry

    def entries(self) -> Iterator[AuditEntry]:
        """All entries in order, each checked against the one before.

        Raises:
            AuditError: One is missing, was changed or does not belong here.
        """
        head = Head()
        for folder in self._blobs.names(FOLDER):
            for name in self._blobs.names(f"{FOLDER}/{folder}"):
                entry = self._read(f"{FOLDER}/{folder}/{name}")
                if (entry.number, entry.previous) != (head.number + 1, head.sha256):
                    raise AuditError(f"entry {head.number + 1} of the audit trail is not the one that was written")
                if name != _key(entry.number).rpartition("/")[2]:
                    raise AuditError(f"entry {entry.number} of the audit trail lies in another's place")
                head = Head(entry.number, entry.sha256)
                yield entry

    def verify(self, known: Head | None = None) -> Head:
        """The head of a trail that is whole.

        Args:
            known: A head that was noted earlier; it must be one of the entries.

        Raises:
            AuditError: The chain is broken, or the known head is not in it.
        """
        head, met = Head(), known is None or known == Head()
        for entry in self.entries():
            head = Head(entry.number, entry.sha256)
            met = met or head == known
        if not met:
            raise AuditError(f"the audit trail ends at {head.number} and does not hold the head that was noted")
        return head

    def _last(self) -> Head:
        """Return the head by two listings and one read, however many entries others have written meanwhile."""
        for folder in reversed(self._blobs.names(FOLDER)):
            if names := self._blobs.names(f"{FOLDER}/{folder}"):  # a folder is made before its first entry
                entry = self._read(f"{FOLDER}/{folder}/{names[-1]}")
                return Head(entry.number, entry.sha256)
        return Head()

    def _read(self, key: str) -> AuditEntry:
        try:
            return AuditEntry.model_validate_json(self._blobs.get(key))
        except (ValidationError, BlobNotFoundError) as exc:
            raise AuditError("an entry of the audit trail cannot be read") from exc


def _key(number: int) -> str:
    return f"{FOLDER}/{number // FOLDER_ENTRIES:09}/{number:012}.json"
