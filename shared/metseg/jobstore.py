"""Jobs in the blob store, which is the truth about them.

jobs/<id>/job.json            what was asked; put before the job is accepted
jobs/<id>/input/0             the bytes as they came
jobs/<id>/attempts/<n>/…      one attempt's lease and artefacts
jobs/<id>/final.json          put if absent: how the job ended
jobs/<id>/tombstone.json      put when the job was deleted; the rest is erased after it
keys/<digest>                 put if absent: the id of the job that a sender's Idempotency-Key stands for
"""

import hashlib
import re
from contextlib import suppress
from pathlib import Path

from metseg.blobs import CHUNK_BYTES, BlobStore
from metseg.errors import BlobNotFoundError, JobGoneError, JobNotFoundError
from metseg.jobs import Artefact, Final, JobRecord, is_job_id

LEASE = "lease.json"
TOMBSTONE = "tombstone.json"


class JobStore:
    """Reads and writes jobs; holds no state of its own."""

    def __init__(self, blobs: BlobStore) -> None:
        """Take the store in which the jobs live."""
        self.blobs = blobs

    def input_key(self, job_id: str) -> str:
        """Where the uploaded bytes of a job belong."""
        return f"{_folder(job_id)}/input/0"

    def artefact_key(self, job_id: str, attempt: int, name: str) -> str:
        """Where an artefact of an attempt lies."""
        return f"{_folder(job_id)}/attempts/{attempt}/{name}"

    def create(self, record: JobRecord) -> None:
        """Make a job durable; its input must be there already."""
        self.blobs.put(f"{_folder(record.id)}/job.json", record.model_dump_json().encode())

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
            names = self.blobs.names(_folder(bound))
            if names and TOMBSTONE not in names:
                return bound
            self.blobs.delete(key)
        return job_id

    def load(self, job_id: str) -> JobRecord:
        """What was asked.

        Raises:
            JobNotFoundError: there is no such job, or its id has no valid form.
            JobGoneError: it was deleted.
        """
        if TOMBSTONE in self.blobs.names(_folder(job_id)):
            raise JobGoneError("the job and its data were deleted")
        try:
            return JobRecord.model_validate_json(self.blobs.get(f"{_folder(job_id)}/job.json"))
        except BlobNotFoundError as exc:
            raise JobNotFoundError("there is no job of that id") from exc

    def ids(self, *, before: str | None = None, limit: int = 50) -> list[str]:
        """Ids of jobs that were accepted, newest first, beginning below `before`; deleted ones are left out."""
        found: list[str] = []
        for job_id in reversed(self.blobs.names("jobs")):
            if len(found) == limit:
                break
            if is_job_id(job_id) and (before is None or job_id < before) and self._is_whole(job_id):
                found.append(job_id)
        return found

    def claim(self, job_id: str, attempt: int, lease: bytes = b"{}") -> bool:
        """Take an attempt; False if another worker has it already."""
        return self.blobs.put_if_absent(self.artefact_key(job_id, attempt, LEASE), lease)

    def latest_attempt(self, job_id: str) -> int:
        """The highest attempt that was claimed; 0 if none was."""
        names = self.blobs.names(f"{_folder(job_id)}/attempts")
        return max((int(name) for name in names if re.fullmatch(r"\d+", name)), default=0)

    def final(self, job_id: str) -> Final | None:
        """How the job ended; None while it has not."""
        try:
            return Final.model_validate_json(self.blobs.get(f"{_folder(job_id)}/final.json"))
        except BlobNotFoundError:
            return None

    def finish(self, final: Final) -> bool:
        """End a job; False if it has ended already, which then stands."""
        return self.blobs.put_if_absent(f"{_folder(final.job_id)}/final.json", final.model_dump_json().encode())

    def put_artefact(self, job_id: str, attempt: int, path: Path, media_type: str) -> Artefact:
        """Store a file of an attempt under its own name."""
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(CHUNK_BYTES):
                digest.update(piece)
        self.blobs.put_file(self.artefact_key(job_id, attempt, path.name), path)
        return Artefact(
            name=path.name, media_type=media_type, size_bytes=path.stat().st_size, sha256=digest.hexdigest()
        )

    def erase(self, job_id: str) -> None:
        """Delete a job for good: its sender's key, then the tombstone, then everything else."""
        folder = _folder(job_id)
        with suppress(JobGoneError, JobNotFoundError):
            self._free_key(self.load(job_id))
        self.blobs.put(f"{folder}/{TOMBSTONE}", b"{}")
        self.discard(job_id)

    def discard(self, job_id: str) -> None:
        """Remove all that lies under a job but a tombstone; for uploads that were never accepted."""
        folder = _folder(job_id)
        for name in self.blobs.names(folder):
            if name != TOMBSTONE:
                self.blobs.delete(f"{folder}/{name}")
        if not self.blobs.names(folder):
            self.blobs.delete(folder)

    def _free_key(self, record: JobRecord) -> None:
        if record.key_sha256 is None:
            return
        key = f"keys/{record.key_sha256}"
        with suppress(BlobNotFoundError):
            if self.blobs.get(key).decode() == record.id:
                self.blobs.delete(key)

    def _is_whole(self, job_id: str) -> bool:
        names = self.blobs.names(_folder(job_id))
        return "job.json" in names and TOMBSTONE not in names


def _folder(job_id: str) -> str:
    if not is_job_id(job_id):
        raise JobNotFoundError("there is no job of that id")
    return f"jobs/{job_id}"
