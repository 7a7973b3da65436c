"""A job as the API answers it, put together from what the store and the queue know of it."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from metseg.dispatch import Dispatcher
from metseg.errors import JobGoneError, QueueUnavailableError
from metseg.jobs import Final, Job, JobRecord, JobState, Progress, expires_at
from metseg.jobstore import JobStore
from metseg.waiting_line import WaitingLine
from metseg_api.estimate import running_s, waiting_s

FIRST_ATTEMPT = 1  # a job that waits for another one is running


@dataclass(frozen=True)
class _Live:
    """What only Redis knows of a job that has not ended."""

    progress: Progress | None = None
    position: int | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class JobReader:
    """Reads jobs; while Redis is down the store alone answers, without progress."""

    jobs: JobStore
    dispatcher: Dispatcher
    line: WaitingLine

    def read(self, job_id: str) -> Job:
        """The job as it stands now.

        The state never moves backwards: it follows from `final.json`, then from the claims of attempts, which
        are both durable; the progress in Redis appears only after a claim.

        Raises:
            JobNotFoundError: There is no such job.
            JobGoneError: It was deleted, or has expired.
        """
        final = self.jobs.final(job_id)
        attempt = self.jobs.latest_attempt(job_id)
        record = self.jobs.load(job_id)  # last: what was read above was whole if there is no tombstone yet
        if expires_at(record, final) <= datetime.now(UTC):
            raise JobGoneError("the job has expired and its data are erased")
        return self._open(record, attempt) if final is None else _finished(record, final)

    def _open(self, record: JobRecord, attempt: int) -> Job:
        live = self._live(record, attempt)
        progress = live.progress
        state = JobState.RUNNING if attempt or progress else JobState.QUEUED
        return Job(
            id=record.id,
            state=state,
            created_at=record.created_at,
            expires_at=expires_at(record, None),
            started_at=progress.started_at if progress else None,
            attempt=max(attempt, progress.attempt) if progress else attempt,
            cancel_requested=self.jobs.cancel_asked(record.id),
            model=record.model,
            request=record.request,
            queue_position=live.position,
            seconds_left=live.seconds_left,
            progress=progress,
            links=_links(record, state),
        )

    def _live(self, record: JobRecord, attempt: int) -> _Live:
        with suppress(QueueUnavailableError):
            progress = self.dispatcher.read_progress(record.id)
            if progress is not None and progress.attempt < attempt:
                progress = None  # of an attempt that was lost
            if attempt or progress:
                return _Live(progress, seconds_left=running_s(progress, datetime.now(UTC)))
            position = self.line.position(record.id, FIRST_ATTEMPT, record.request.priority)
            return _Live(None, position, waiting_s(position, self.line.pace()))
        return _Live()


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


def _finished(record: JobRecord, final: Final) -> Job:
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
