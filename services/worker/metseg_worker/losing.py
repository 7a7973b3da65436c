"""Decides what becomes of a job whose attempt ended without telling its end."""

import logging
from datetime import UTC, datetime

from metseg.dispatch import Dispatcher
from metseg.errors import JobError, JobGoneError, JobNotFoundError, JobTimeoutError, WorkerLostError
from metseg.jobs import MOST_LOST_ATTEMPTS, AttemptEnd, Failure, Final, JobState
from metseg.jobstore import JobStore
from metseg_worker.scratch import remove_scratch

logger = logging.getLogger(__name__)


class LostAttempts:
    """The `on_lost` of the queue: tries again, up to `MOST_LOST_ATTEMPTS`, then ends the job as failed."""

    def __init__(self, store: JobStore, dispatcher: Dispatcher, *, timeout_s: float) -> None:
        self._store, self._dispatcher, self._timeout_s = store, dispatcher, timeout_s

    def __call__(self, job_id: str, attempt: int, reason: JobError) -> None:
        """Remove what the attempt left on this machine; enqueue the next one or end the job.

        An attempt that ran out of time is not repeated. What the attempt had already stored is removed.
        """
        remove_scratch(job_id, attempt)
        try:
            self._store.load(job_id)
        except (JobNotFoundError, JobGoneError):
            return
        if self._store.final(job_id) is not None:
            return
        self._store.claim(job_id, attempt)  # if it died before it could, so that nobody takes it any more
        end = self._store.end_attempt(job_id, attempt, AttemptEnd(ended_at=datetime.now(UTC), was_lost=True))
        if end.final is not None:
            self._store.finish(end.final)
            return
        self._store.discard_artefacts(job_id, attempt)
        extra = {"job_id": job_id, "attempt": attempt, "code": reason.code}
        lost = self._store.lost_attempts(job_id)
        if self._dispatcher.cancel_requested(job_id):
            self._finish(job_id, attempt, JobState.CANCELLED, None)
        elif isinstance(reason, JobTimeoutError):
            self._finish(job_id, attempt, JobState.FAILED, reason)
        elif lost < MOST_LOST_ATTEMPTS:
            logger.warning("attempt was lost, trying again", extra=extra)
            self._dispatcher.enqueue(job_id, attempt + 1, timeout_s=self._timeout_s)
        else:
            logger.error("attempt was lost, giving up", extra=extra)
            message = f"The worker died in each of {lost} attempts at this job."
            self._finish(job_id, attempt, JobState.FAILED, WorkerLostError(message))

    def _finish(self, job_id: str, attempt: int, state: JobState, reason: JobError | None) -> None:
        failure = None if reason is None else Failure(code=reason.code, message=str(reason))
        self._store.finish(
            Final(job_id=job_id, state=state, attempt=attempt, finished_at=datetime.now(UTC), failure=failure)
        )
