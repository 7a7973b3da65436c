"""Jobs in the blob store, which is the truth about them.

`metseg.jobs.layout` says which files a job has.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from metseg.errors import BlobNotFoundError, JobGoneError, JobNotFoundError, StoreError, StoreUnavailableError
from metseg.jobs.layout import CANCEL, END, FINAL, LEASE, RECORD, TOMBSTONE, job_folder
from metseg.schemas.job import (
    Artefact,
    AttemptEnd,
    JobRecord,
    JobResult,
    JobState,
    Lease,
    Schema,
    Tombstone,
    is_job_id,
)
from metseg.storage.blob_store import BlobStore
from metseg.storage.checksums import sha256_of

T = TypeVar("T", bound=Schema)


@dataclass(frozen=True)
class Marks:
    """What the names of a job's blobs tell: all that can still change about it, by two listings.

    Attributes:
        attempt: The highest attempt that was claimed; 0 if none was.
        has_ended: Whether it has its `final.json`.
        cancel_asked: Whether `JobStore.ask_cancel` was called.
    """

    attempt: int
    has_ended: bool
    cancel_asked: bool


class JobStore:
    """Reads and writes jobs; holds no state of its own."""

    def __init__(self, blobs: BlobStore) -> None:
        """Take the store in which the jobs live."""
        self.blobs = blobs

    def input_key(self, job_id: str, number: int = 0) -> str:
        """Where an uploaded file of a job belongs, by its number from 0."""
        return f"{job_folder(job_id)}/input/{number}"

    def previous_key(self, job_id: str, number: int) -> str:
        """Where a file of an uploaded prior belongs, by its number from 0."""
        return f"{job_folder(job_id)}/previous/{number}"

    def artefact_key(self, job_id: str, attempt: int, name: str) -> str:
        """Where an artefact of an attempt lies."""
        return f"{job_folder(job_id)}/attempts/{attempt}/{name}"

    def webhook_key(self, job_id: str, number: int, name: str) -> str:
        """Where a note about an attempt to deliver a job's webhook lies."""
        return f"{job_folder(job_id)}/webhook/{number}/{name}"

    def create(self, record: JobRecord) -> None:
        """Make a job durable; its input must be there already."""
        self.blobs.put(f"{job_folder(record.id)}/{RECORD}", record.model_dump_json().encode())

    def bind_key(self, key_sha256: str, job_id: str) -> str:
        """Let a sender's key stand for a job, unless it stands for another one; the job it stands for now.

        To be called after the input is stored and before `create`, so that a job is never there without its key.
        A key whose job was erased, or never accepted and swept, is free again.
        """
        key = f"keys/{key_sha256}"
        while not self.blobs.put_if_absent(key, job_id.encode()):
            try:
                bound = self.blobs.get(key).decode()
            except BlobNotFoundError:
                continue  # erased at this very moment
            if self._is_there(bound):
                return bound
            self.blobs.delete(key)
        return job_id

    def stray_keys(self) -> set[str]:
        """Senders' keys that stand for no job: the process that bound or freed them died on the way."""
        found = (f"keys/{name}" for name in self.blobs.names("keys"))
        return {key for key in found if not self._is_there(self._bound(key))}

    def load(self, job_id: str) -> JobRecord:
        """What was asked.

        Raises:
            JobNotFoundError: there is no such job, or its id has no valid form.
            JobGoneError: it was deleted, or has expired.
            StoreError: its record is damaged.
        """
        self._names(job_id)
        try:
            return self._read(JobRecord, f"{job_folder(job_id)}/{RECORD}")
        except BlobNotFoundError as exc:
            raise JobNotFoundError("there is no job of that id") from exc

    def marks(self, job_id: str) -> Marks:
        """What can still change about a job, as it is now.

        Raises:
            JobNotFoundError: there is no such job, or its id has no valid form.
            JobGoneError: it was deleted, or has expired.
        """
        attempt = self.latest_attempt(job_id)
        names = self._names(job_id)  # last: what was listed above was whole if there is no tombstone yet
        if RECORD not in names:
            raise JobNotFoundError("there is no job of that id")
        return Marks(attempt, FINAL in names, CANCEL in names)

    def owner(self, job_id: str) -> str | None:
        """Who sent a job, also one that was deleted.

        Raises:
            JobNotFoundError: there is no such job.
        """
        try:
            return self.load(job_id).owner
        except JobGoneError:
            return Tombstone.model_validate_json(self.blobs.get(f"{job_folder(job_id)}/{TOMBSTONE}")).owner

    def ids(self, *, before: str | None = None, limit: int = 50) -> list[str]:
        """Ids of jobs that were accepted, newest first, beginning below `before`; deleted ones are left out."""
        found: list[str] = []
        for job_id in reversed(self.blobs.names("jobs")):
            if len(found) == limit:
                break
            if is_job_id(job_id) and (before is None or job_id < before) and self._is_whole(job_id):
                found.append(job_id)
        return found

    def claim(self, job_id: str, attempt: int, worker: str = "") -> bool:
        """Take an attempt for a named worker; False if another has it already."""
        lease, key = Lease(worker=worker, claimed_at=datetime.now(UTC)), self.artefact_key(job_id, attempt, LEASE)
        return self.blobs.put_if_absent(key, lease.model_dump_json().encode())

    def latest_attempt(self, job_id: str) -> int:
        """The highest attempt that was claimed; 0 if none was."""
        names = self.blobs.names(f"{job_folder(job_id)}/attempts")
        return max((int(name) for name in names if re.fullmatch(r"\d+", name)), default=0)

    def end_attempt(self, job_id: str, attempt: int, end: AttemptEnd) -> AttemptEnd:
        """End an attempt, if it has not ended; the end that stands."""
        key = self.artefact_key(job_id, attempt, END)
        if self.blobs.put_if_absent(key, end.model_dump_json().encode()):
            return end
        return self._read(AttemptEnd, key)

    def lost_attempts(self, job_id: str) -> int:
        """How many attempts have lost their worker."""
        lost = 0
        for attempt in range(1, self.latest_attempt(job_id) + 1):
            with suppress(BlobNotFoundError):
                lost += self._read(AttemptEnd, self.artefact_key(job_id, attempt, END)).was_lost
        return lost

    def final(self, job_id: str) -> JobResult | None:
        """How the job ended; None while it has not."""
        try:
            return self._read(JobResult, f"{job_folder(job_id)}/{FINAL}")
        except BlobNotFoundError:
            return None

    def finish(self, final: JobResult) -> bool:
        """End a job; False if it has ended already, which then stands."""
        return self.blobs.put_if_absent(f"{job_folder(final.job_id)}/{FINAL}", final.model_dump_json().encode())

    def publish(self, final: JobResult, attempt: int) -> bool:
        """End a job with what an attempt made; False if the attempt was given up or the job ended otherwise."""
        end = AttemptEnd(ended_at=final.finished_at, final=final)
        is_end = self.end_attempt(final.job_id, attempt, end) == end
        return is_end and (self.finish(final) or self.final(final.job_id) == final)  # who gave it up put the same

    def put_artefact(self, job_id: str, attempt: int, path: Path, media_type: str) -> Artefact:
        """Store a file of an attempt under its own name."""
        self.blobs.put_file(self.artefact_key(job_id, attempt, path.name), path)
        return Artefact(
            name=path.name, media_type=media_type, size_bytes=path.stat().st_size, sha256=sha256_of(path)
        )

    def discard_artefacts(self, job_id: str, attempt: int) -> None:
        """Remove an attempt's artefacts, whole or half written; its lease and its end stay."""
        for name in self.blobs.names(f"{job_folder(job_id)}/attempts/{attempt}"):
            if name not in (LEASE, END):
                self.blobs.delete(self.artefact_key(job_id, attempt, name))

    def ask_cancel(self, job_id: str) -> None:
        """Note, so that it outlives Redis, that somebody asked the job to stop."""
        self.blobs.put(f"{job_folder(job_id)}/{CANCEL}", b"{}")

    def cancel_asked(self, job_id: str) -> bool:
        """Whether `ask_cancel` was called."""
        return CANCEL in self.blobs.names(job_folder(job_id))

    def tidy(self, final: JobResult) -> None:
        """Remove what attempts left of a job that has ended, all but its result; nobody may be at work on it."""
        for attempt in range(1, self.latest_attempt(final.job_id) + 1):
            if final.state is not JobState.SUCCEEDED or attempt != final.attempt:
                self.discard_artefacts(final.job_id, attempt)
        self.blobs.sweep(job_folder(final.job_id))

    def abandon(self, job_id: str) -> None:
        """Remove an upload that nobody finishes; should its sender turn up after all, the job is gone."""
        if self.blobs.names(job_folder(job_id)):
            self.erase(job_id)
        else:
            self.blobs.delete(job_folder(job_id))

    def remove(self, job_id: str) -> None:
        """Remove a job with its tombstone."""
        self.blobs.delete(job_folder(job_id))

    def erase(self, job_id: str) -> None:
        """Delete a job for good: its sender's key, then the tombstone, then everything else."""
        owner = None
        with suppress(JobGoneError, JobNotFoundError):
            record = self.load(job_id)
            self._free_key(record)
            owner = record.owner
        self._put_tombstone(job_id, Tombstone(owner=owner))
        self.discard(job_id)

    def discard(self, job_id: str) -> None:
        """Remove all that lies under a job but a tombstone; for uploads that were never accepted."""
        folder = job_folder(job_id)
        for name in set(self.blobs.names(folder)) - {TOMBSTONE}:
            self.blobs.delete(f"{folder}/{name}")
        if not self.blobs.names(folder):
            self.blobs.delete(folder)

    def make_room(self, job_id: str) -> None:
        """Remove the files of a job that is about to be deleted, so that a full disk has room to tell of it."""
        for name in ("input", "previous", "attempts"):
            self.blobs.delete(f"{job_folder(job_id)}/{name}")

    def _put_tombstone(self, job_id: str, tombstone: Tombstone) -> None:
        key, data = f"{job_folder(job_id)}/{TOMBSTONE}", tombstone.model_dump_json().encode()
        try:
            self.blobs.put_if_absent(key, data)
        except StoreUnavailableError:  # a full disk has room for it once the files are gone
            self.make_room(job_id)
            self.blobs.put_if_absent(key, data)

    def _free_key(self, record: JobRecord) -> None:
        key = f"keys/{record.key_sha256}"
        with suppress(BlobNotFoundError):
            if record.key_sha256 is not None and self.blobs.get(key).decode() == record.id:
                self.blobs.delete(key)

    def _read(self, schema: type[T], key: str) -> T:
        try:
            return schema.model_validate_json(self.blobs.get(key))
        except ValidationError as exc:
            raise StoreError(f"the store holds no {schema.__name__} where it should: a record is damaged") from exc

    def _names(self, job_id: str) -> list[str]:
        """What lies under a job that was not erased."""
        names = self.blobs.names(job_folder(job_id))
        if TOMBSTONE in names:
            raise JobGoneError("the job and its data were deleted")
        return names

    def _bound(self, key: str) -> str:
        with suppress(BlobNotFoundError):  # freed at this moment
            return self.blobs.get(key).decode(errors="replace")
        return ""

    def _is_there(self, job_id: str) -> bool:
        """Whether there is a job of that id, or its upload is on the way, and it was not deleted."""
        names = self.blobs.names(job_folder(job_id)) if is_job_id(job_id) else []
        return bool(names) and TOMBSTONE not in names

    def _is_whole(self, job_id: str) -> bool:
        names = self.blobs.names(job_folder(job_id))
        return RECORD in names and TOMBSTONE not in names
