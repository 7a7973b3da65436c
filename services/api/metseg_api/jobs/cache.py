"""What the API remembers of jobs: that which never changes, so any number of APIs may share a store.

Whether a job is still there, and how it stands, is not remembered: another API may delete it, a worker end it.
"""

from functools import lru_cache

from metseg.errors import JobGoneError
from metseg.jobs.store import JobStore
from metseg.schemas.job import JobRecord, JobResult

MOST_JOBS = 4096
MOST_OWNERS = 100_000


class KnownJobs:
    """`job.json` and `final.json`, each read once: the one is never written again, the other put if absent."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._record = lru_cache(maxsize=MOST_JOBS)(self._read_record)
        self._final = lru_cache(maxsize=MOST_JOBS)(self._read_final)
        self._owner = lru_cache(maxsize=MOST_OWNERS)(jobs.owner)

    def record(self, job_id: str) -> JobRecord:
        """What was asked; without `inputs` and `previous_inputs`, of which there may be thousands.

        Raises:
            JobNotFoundError: There was no such job.
            JobGoneError: It was deleted before its record was known.
            StoreError: Its record is damaged.
        """
        return self._record(job_id)

    def final(self, job_id: str) -> JobResult:
        """How a job ended that is known to have ended.

        Raises:
            JobGoneError: It was deleted before its end was known.
            StoreError: Its end is damaged.
        """
        return self._final(job_id)

    def owner(self, job_id: str) -> str | None:
        """Who sent a job, also one that was deleted; None for one from before access was controlled.

        Raises:
            JobNotFoundError: There is no such job.
        """
        return self._owner(job_id)

    def _read_record(self, job_id: str) -> JobRecord:
        return self._jobs.load(job_id).model_copy(update={"inputs": [], "previous_inputs": []})

    def _read_final(self, job_id: str) -> JobResult:
        final = self._jobs.final(job_id)
        if final is None:
            raise JobGoneError("the job and its data were deleted")
        return final
