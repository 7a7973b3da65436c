"""A job as the API answers it, put together from what the store and the queue know of it."""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from metseg.errors import JobGoneError, MetsegError, QueueUnavailableError
from metseg.jobs.expiry import expires_at
from metseg.jobs.store import JobStore, Marks
from metseg.queue.dispatcher import Dispatcher
from metseg.queue.statistics import WaitingLine
from metseg.schemas.job import Job, JobRecord, JobResult, JobState, Progress, WaitsFor
from metseg_api.jobs.cache import KnownJobs
from metseg_api.jobs.eta import running_s, waiting_s

FIRST_ATTEMPT = 1  # a job that waits for another one is running


@dataclass(frozen=True)
class _Stored:
    """What the store knows of a job."""

    record: JobRecord
    marks: Marks
    final: JobResult | None


@dataclass(frozen=True)
class _Live:
    """What only Redis knows of a job that has not ended."""

    progress: Progress | None = None
    position: int | None = None
    seconds_left: float | None = None
    waits_for: WaitsFor | None = None


@dataclass(frozen=True)
class JobReader:
    """Reads jobs; while Redis is down the store alone answers, without progress."""

    jobs: JobStore
    known: KnownJobs
    dispatcher: Dispatcher
    line: WaitingLine

    def read(self, job_id: str) -> Job:
        """The job as it stands now.

        The state never moves backwards: it follows from `final.json`, then from the claims of attempts, which
        are both durable; the progress in Redis appears only after a claim.

        Raises:
            JobNotFoundError: There is no such job.
            JobGoneError: It was deleted, or has expired.
            StoreError: Its record is damaged, or the store does not answer.
        """
        [found] = self.read_many([job_id]).values()
        if isinstance(found, Exception):
            raise found
        return found

    def read_many(self, job_ids: Iterable[str]) -> dict[str, Job | MetsegError]:
        """Jobs as they stand now; of one that `read` would not answer the reason."""
        found: dict[str, Job | MetsegError] = {}
        still_open: list[_Stored] = []
        for job_id in job_ids:
            try:
                stored = self._stored(job_id)
            except MetsegError as exc:
                found[job_id] = exc
            else:
                if stored.final is None:
                    still_open.append(stored)
                else:
                    found[job_id] = _finished(stored.record, stored.final)
        live = self._live(still_open)
        return found | {one.record.id: _unfinished(one, live.get(one.record.id, _Live())) for one in still_open}

    def _stored(self, job_id: str) -> _Stored:
        marks = self.jobs.marks(job_id)
        record = self.known.record(job_id)
        final = self.known.final(job_id) if marks.has_ended else None
        if expires_at(record, final) <= datetime.now(UTC):
            raise JobGoneError("the job has expired and its data are erased")
        return _Stored(record, marks, final)

    def _live(self, still_open: Sequence[_Stored]) -> dict[str, _Live]:
        """What Redis knows of each; where it stops answering, nobody waits for it once more."""
        live: dict[str, _Live] = {}
        with suppress(QueueUnavailableError):
            told = self.dispatcher.read_progress([one.record.id for one in still_open])
            for one in still_open:
                live[one.record.id] = self._live_one(one, told.get(one.record.id))
        return live

    def _live_one(self, stored: _Stored, progress: Progress | None) -> _Live:
        record, attempt = stored.record, stored.marks.attempt
        if progress is not None and progress.attempt < attempt:
            progress = None  # of an attempt that was lost
        if attempt or progress:
            waits_for = progress.waits_for if progress else None
            return _Live(progress, None, running_s(progress, datetime.now(UTC)), waits_for)
        position, pace = self.line.position(record.id, FIRST_ATTEMPT, record.request.priority), self.line.pace()
        waits_for = WaitsFor.MODEL_SERVER if pace.serving_is_away else None
        return _Live(None, position, waiting_s(position, pace), waits_for)


def entity_tag(job: Job) -> str:
    """A strong ETag over all of a job that matters; the heartbeat of a running attempt and guesses do not."""
    content = job.model_dump_json(exclude={"seconds_left": True, "progress": {"updated_at"}})
    return f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'


def tag_matches(header: str | None, tag: str) -> bool:
    """Whether an If-None-Match header names the tag (RFC 9110, section 13.1.2: weak comparison)."""
    if header is None:
        return False
    named = [one.strip().removeprefix("W/") for one in header.split(",")]
    return "*" in named or tag in named


def job_path(job_id: str) -> str:
    """Where the API answers for a job."""
    return f"/v1/jobs/{job_id}"


def _unfinished(stored: _Stored, live: _Live) -> Job:
    record, attempt, progress = stored.record, stored.marks.attempt, live.progress
    state = JobState.RUNNING if attempt or progress else JobState.QUEUED
    return Job(
        id=record.id,
        state=state,
        created_at=record.created_at,
        expires_at=expires_at(record, None),
        started_at=progress.started_at if progress else None,
        attempt=max(attempt, progress.attempt) if progress else attempt,
        cancel_requested=stored.marks.cancel_asked,
        model=record.model,
        request=record.request,
        queue_position=live.position,
        seconds_left=live.seconds_left,
        waits_for=live.waits_for,
        progress=progress,
        links=_links(record, state),
    )


def _finished(record: JobRecord, final: JobResult) -> Job:
    return Job(
        id=record.id,
        state=final.state,
        created_at=record.created_at,
        started_at=final.started_at,
        finished_at=final.finished_at,
        expires_at=expires_at(record, final),
        attempt=final.attempt or 0,
        cancel_requested=final.state is JobState.CANCELLED,
        model=record.model,
        request=record.request,
        error=final.failure,
        links=_links(record, final.state),
    )


def _links(record: JobRecord, state: JobState) -> dict[str, str]:
    path = job_path(record.id)
    links = {"self": path}
    if state is JobState.SUCCEEDED:
        links["result"] = f"{path}/result"
    if not state.is_final:
        links["cancel"] = f"{path}/cancel"
    if record.request.webhook_url is not None:
        links["webhook"] = f"{path}/webhook"
    return links
