"""Whether the earlier jobs that a sender names can be compared with, asked before the new job is accepted."""

from collections.abc import Iterable

from metseg.errors import JobNotFoundError
from metseg.jobs.previous import comparable, unknown
from metseg.jobs.store import JobStore
from metseg_api.auth.caller import Caller


def check_previous(jobs: JobStore, caller: Caller, named: Iterable[str]) -> None:
    """Make sure that each earlier job is the caller's and has what is compared.

    Raises:
        PreviousUnknownError: There is no such job for the caller; another's looks like none.
        PreviousGoneError: It was deleted, or has expired.
        PreviousUnfinishedError: It has no result.
        NotVolumeError: It is of a single picture.
    """
    for job_id in named:
        if not caller.is_admin and not caller.may_see(_owner(jobs, job_id)):
            raise unknown(job_id)
        comparable(jobs, job_id)


def _owner(jobs: JobStore, job_id: str) -> str | None:
    try:
        return jobs.owner(job_id)
    except JobNotFoundError as exc:
        raise unknown(job_id) from exc
