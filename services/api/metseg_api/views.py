"""A job as the API answers it, put together from what the store and the queue know of it."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from metseg.dispatch import Dispatcher
from metseg.errors import QueueUnavailableError
from metseg.jobs import Final, Job, JobRecord, JobState, Progress
from metseg.jobstore import JobStore

T = TypeVar("T")


@dataclass(frozen=True)
class JobReader:
    """Reads jobs; while Redis is down the store alone answers, without progress."""

    jobs: JobStore
    dispatcher: Dispatcher

    def read(self, job_id: str) -> Job:
        """The job as it stands now.

        The state never moves backwards: it follows from `final.json`, then from the claims of attempts, which
        are both durable; the progress in Redis appears only after a claim.

        Raises:
            JobNotFoundError: There is no such job.
            JobGoneError: It was deleted.
        """
        final = self.jobs.final(job_id)
        attempt = self.jobs.latest_attempt(job_id)
        record = self.jobs.load(job_id)  # last: what was read above was whole if there is no tombstone yet
        return self._open(record, attempt) if final is None else _finished(record, final)

    def _open(self, record: JobRecord, attempt: int) -> Job:
        progress = self._asked(lambda: self.dispatcher.read_progress(record.id), None)
        if progress is not None and progress.attempt < attempt:
            progress = None  # of an attempt that was lost
        state = JobState.RUNNING if attempt or progress else JobState.QUEUED
        return Job(
            id=record.id,
            state=state,
            created_at=record.created_at,
            started_at=progress.started_at if progress else None,
            attempt=_attempt(attempt, progress),
            cancel_requested=self._asked(lambda: self.dispatcher.cancel_requested(record.id), False),
            model=record.model,
            request=record.request,
            progress=progress,
            links=_links(record.id, state),
        )

    @staticmethod
    def _asked(question: Callable[[], T], otherwise: T) -> T:
        with suppress(QueueUnavailableError):
            return question()
        return otherwise


def entity_tag(job: Job) -> str:
    """A strong ETag over all of a job that matters; the mere heartbeat of a running attempt does not."""
    content = job.model_dump_json(exclude={"progress": {"updated_at"}})
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
        attempt=final.attempt or 0,
        cancel_requested=final.state is JobState.CANCELLED,
        model=record.model,
        request=record.request,
        error=final.failure,
        links=_links(record.id, final.state),
    )


def _attempt(claimed: int, progress: Progress | None) -> int:
    return max(claimed, progress.attempt) if progress else claimed


def _links(job_id: str, state: JobState) -> dict[str, str]:
    path = job_path(job_id)
    links = {"self": path}
    if state is JobState.SUCCEEDED:
        links["result"] = f"{path}/result"
    if not state.is_final:
        links["cancel"] = f"{path}/cancel"
    return links
