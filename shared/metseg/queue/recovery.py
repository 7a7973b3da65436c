"""What becomes of a job that nobody has: it waits again, ends, or is put away.

Everything here may be done twice, or by two at once, to the effect of once: ends are put if absent, and an attempt
that waits twice is claimed once.
"""

import logging
from contextlib import suppress
from datetime import UTC, datetime

from metseg.errors import JobError, JobGoneError, JobNotFoundError, JobTimeoutError, WorkerLostError
from metseg.jobs.expiry import expires_at, forgotten_at
from metseg.jobs.store import JobStore
from metseg.queue.dispatcher import Dispatcher
from metseg.queue.heartbeats import JobLeases
from metseg.schemas.job import (
    MOST_LOST_ATTEMPTS,
    AttemptEnd,
    Failure,
    JobRecord,
    JobResult,
    JobState,
)

logger = logging.getLogger(__name__)


class Recovery:
    """Acts on one job at a time.

    Every method may raise `StoreError` or `QueueUnavailableError`, and is then to be called again.
    """

    def __init__(self, store: JobStore, dispatcher: Dispatcher, holders: JobLeases, *, timeout_s: float) -> None:
        """Take what is acted on; `timeout_s` is the time limit of an attempt."""
        self._store, self._dispatcher, self._holders, self._timeout_s = store, dispatcher, holders, timeout_s

    def take_in(self, job_id: str) -> None:
        """Watch over a job that was found in the store and is not known in Redis."""
        self._holders.watch([job_id])
        try:
            record = self._store.load(job_id)
        except (JobGoneError, JobNotFoundError):
            return  # deleted, or its upload is on the way, or nobody's: it is settled once nobody has it
        self._holders.lists.add(record.owner, job_id)
        final = self._store.final(job_id)
        if final is None:
            if record.owner is not None:
                self._holders.count_open(record.owner, job_id)
            if self._store.cancel_asked(job_id):
                self._dispatcher.request_cancel(job_id)
        self._holders.put_off(job_id, expires_at(record, final).timestamp())

    def list(self, job_id: str) -> None:
        """Put a job on its owner's list, unless it is gone."""
        with suppress(JobGoneError, JobNotFoundError):
            self._holders.lists.add(self._store.load(job_id).owner, job_id)

    def settle(self, job_id: str) -> None:
        """Do what is to be done about a job that does not wait and that nobody beats for."""
        try:
            record = self._store.load(job_id)
        except JobGoneError:
            self._store.discard(job_id)
            self._put_away(job_id, forgotten_at(job_id))
            return
        except JobNotFoundError:
            self._store.abandon(job_id)
            self._holders.forget(job_id)
            return
        final = self._store.final(job_id)
        if final is None:
            final = self._taken_up(record)
        if final is not None:
            self._holders.lists.add(record.owner, job_id)  # where it ended before it was taken in
            self._store.tidy(final)
            self._put_away(job_id, expires_at(record, final))

    def lose(self, job_id: str, attempt: int, code: str) -> None:
        """Act on the report that an attempt ended without a word; one that ran out of time is not repeated."""
        try:
            record = self._store.load(job_id)
        except (JobGoneError, JobNotFoundError):
            return
        if self._store.final(job_id) is None and attempt >= self._store.latest_attempt(job_id):
            self._store.claim(job_id, attempt)  # where it died before it could, so that nobody takes it any more
            self._given_up(record, attempt, code)

    def expire(self, job_id: str) -> None:
        """Act on a job whose time has come: erase it, or its last trace."""
        now = datetime.now(UTC)
        try:
            record = self._store.load(job_id)
        except JobGoneError:
            self._holders.lists.remove(self._store.owner(job_id), job_id)
            if forgotten_at(job_id) <= now:
                self._store.remove(job_id)
                self._holders.forget(job_id)
            else:
                self._holders.put_off(job_id, forgotten_at(job_id).timestamp())
            return
        except JobNotFoundError:
            self._holders.forget(job_id)
            return
        end = expires_at(record, self._store.final(job_id))
        if end <= now:
            logger.info("job expired", extra={"job_id": job_id})
            self._dispatcher.request_cancel(job_id)
            self._store.erase(job_id)
            self._holders.lists.remove(record.owner, job_id)
            self._holders.watch([job_id])  # a process that still works on it may leave something
            end = forgotten_at(job_id)
        self._holders.put_off(job_id, end.timestamp())

    def _put_away(self, job_id: str, until: datetime) -> None:
        self._dispatcher.forget(job_id)
        self._holders.put_off(job_id, until.timestamp())
        self._holders.unwatch(job_id)

    def _taken_up(self, record: JobRecord) -> JobResult | None:
        """The end of a job that nobody has; None if it waits again, or somebody turned up."""
        attempt = self._store.latest_attempt(record.id)
        if self._holders.is_held(record.id):  # an attempt beats before it is claimed
            return None
        if attempt:
            return self._given_up(record, attempt, WorkerLostError.code)
        return self._next(record, attempt, None)

    def _given_up(self, record: JobRecord, attempt: int, code: str) -> JobResult | None:
        """End an attempt as lost, unless it has ended; then the job's end, or None if it waits again."""
        lost = AttemptEnd(ended_at=datetime.now(UTC), was_lost=True)
        end = self._store.end_attempt(record.id, attempt, lost)
        if end.final is not None:  # it died between its own end and the job's
            return self._ended(end.final)
        self._store.discard_artefacts(record.id, attempt)
        return self._next(record, attempt, code)

    def _next(self, record: JobRecord, attempt: int, code: str | None) -> JobResult | None:
        extra = {"job_id": record.id, "attempt": attempt, "code": code}
        lost = self._store.lost_attempts(record.id)
        if self._store.cancel_asked(record.id) or self._dispatcher.cancel_requested(record.id):
            return self._ended(_end(record, attempt, JobState.CANCELLED))
        if code == JobTimeoutError.code:
            return self._ended(_end(record, attempt, JobState.FAILED, JobTimeoutError(_TOO_LONG)))
        if lost >= MOST_LOST_ATTEMPTS:
            logger.error("attempt was lost, giving up", extra=extra)
            died = WorkerLostError(f"The worker died in each of {lost} attempts at this job.")
            return self._ended(_end(record, attempt, JobState.FAILED, died))
        logger.warning("nobody has the job, it waits again", extra=extra)
        self._dispatcher.enqueue(
            record.id, attempt + 1, timeout_s=self._timeout_s, priority=record.request.priority
        )
        return None

    def _ended(self, final: JobResult) -> JobResult:
        """Put a job's end, if it has none; the end that stands."""
        if self._store.finish(final):
            self._dispatcher.tell_end(final, {})
        return self._store.final(final.job_id) or final


_TOO_LONG = "The job took longer than its time limit."


def _end(record: JobRecord, attempt: int, state: JobState, reason: JobError | None = None) -> JobResult:
    failure = None if reason is None else Failure(code=reason.code, message=str(reason))
    now = datetime.now(UTC)
    return JobResult(job_id=record.id, state=state, attempt=attempt or None, finished_at=now, failure=failure)
