"""What a worker does about an attempt whose work-horse died without a word."""

from dataclasses import dataclass

from metseg.errors import JobError
from metseg.queue.heartbeats import JobLeases
from metseg_worker.scratch import remove_scratch


@dataclass(frozen=True)
class LossReport:
    """The `on_lost` of the queue; what becomes of the job, `metseg.queue.recovery` decides."""

    holders: JobLeases

    def __call__(self, job_id: str, attempt: int, reason: JobError) -> None:
        """Remove what the attempt left on this machine and tell that it is lost.

        Raises:
            QueueUnavailableError: Redis does not answer; the missing heartbeat will tell.
        """
        remove_scratch(job_id, attempt)
        self.holders.report_lost(job_id, attempt, reason.code)
