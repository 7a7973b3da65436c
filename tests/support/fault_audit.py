"""Looks through a store after the faults: who ended, once, and whether every file has an owner."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from metseg.errors import JobNotFoundError
from metseg.jobs.layout import CANCEL, END, LEASE, TOMBSTONE
from metseg.jobs.store import JobStore
from metseg.schemas.job import AttemptEnd, JobResult, JobState
from metseg.storage.open import open_blob_store


@dataclass
class Audit:
    """What was found; `wrong` is empty if all is well."""

    accepted: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    lost_attempts: int = 0
    wrong: list[str] = field(default_factory=list)


def audit(folder: Path, accepted: set[str]) -> Audit:
    """Compare a store with what its API said."""
    store = JobStore(open_blob_store(str(folder)))
    found = Audit(accepted=len(accepted))
    stored = {name for name in store.blobs.names("jobs") if TOMBSTONE not in store.blobs.names(f"jobs/{name}")}
    found.wrong += [f"{one}: accepted, but not in the store" for one in sorted(accepted - stored)]
    found.wrong += [f"{one}: in the store, but never accepted" for one in sorted(stored - accepted)]
    for job_id in sorted(stored & accepted):
        final = store.final(job_id)
        if final is None:
            found.wrong.append(f"{job_id}: has not ended")
            continue
        found.ends[_kind(final)] += 1
        found.attempts += store.latest_attempt(job_id)
        found.lost_attempts += store.lost_attempts(job_id)
        found.wrong += [f"{job_id}: {what}" for what in _wrong_with(folder / "jobs" / job_id, store, final)]
    found.wrong += [f"{path}: no owner" for path in _ownerless(folder, store)]
    return found


def _kind(final: JobResult) -> str:
    return f"{final.state.value} ({final.failure.code})" if final.failure else final.state.value


def _wrong_with(folder: Path, store: JobStore, final: JobResult) -> Iterator[str]:
    ends = [AttemptEnd.model_validate_json(path.read_bytes()) for path in folder.glob(f"attempts/*/{END}")]
    published = [end.final for end in ends if end.final is not None]
    if published and published != [final] and final.state is not JobState.CANCELLED:
        yield f"{len(published)} attempts meant to publish"
    if final.state is JobState.SUCCEEDED and published != [final]:
        yield "the result is of no attempt that published"
    for artefact in final.artefacts:
        path = folder / "attempts" / str(final.attempt) / artefact.name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != artefact.sha256:
            yield f"{artefact.name} is missing or not what was published"


def _ownerless(folder: Path, store: JobStore) -> Iterator[Path]:
    """Files below `jobs` that belong to no job, attempt or result, half-written ones included."""
    for path in (folder / "jobs").rglob("*"):
        if path.is_dir():
            continue
        job_id, *rest = path.relative_to(folder / "jobs").parts
        names = [TOMBSTONE]
        if not (folder / "jobs" / job_id / TOMBSTONE).exists():
            names = ["job.json", CANCEL, "final.json", *_of_inputs(store, job_id), *_of_attempts(store, job_id)]
        if "/".join(rest) not in names:
            yield path.relative_to(folder)


def _of_inputs(store: JobStore, job_id: str) -> Iterator[str]:
    with suppress(JobNotFoundError):  # a broken-off upload, whose files have no owner then
        record = store.load(job_id)
        for folder, files in (("input", record.inputs), ("previous", record.previous_inputs)):
            yield from (f"{folder}/{number}" for number in range(len(files)))


def _of_attempts(store: JobStore, job_id: str) -> Iterator[str]:
    for attempt in range(1, store.latest_attempt(job_id) + 1):
        yield f"attempts/{attempt}/{LEASE}"
        yield f"attempts/{attempt}/{END}"
    final = store.final(job_id)
    if final is not None:
        yield from (f"attempts/{final.attempt}/{one.name}" for one in final.artefacts)
