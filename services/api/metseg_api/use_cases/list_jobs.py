"""Pages of jobs: the caller's own, newest first, of the states asked for."""

from collections.abc import Collection
from contextlib import suppress

from metseg.errors import JobGoneError, JobNotFoundError, QueueUnavailableError
from metseg.schemas.job import Job, JobState
from metseg_api.auth.caller import Caller
from metseg_api.backends import Backends

LOOKED_AT_ONCE = 500
MOST_LOOKS = 2000
"""A page is cut short after so many of the caller's jobs were read for it, found or not."""


def page_of_jobs(
    backends: Backends, caller: Caller, states: Collection[JobState], *, before: str | None, limit: int
) -> tuple[list[Job], str | None]:
    """The jobs below `before`, at most `limit`, and where the next page begins; None where none is left.

    Args:
        backends: Where the jobs are.
        caller: Who sees its own jobs; an administrator sees everyone's.
        states: Those to be listed; all where it is empty.
        before: Id of the job that was looked at last.
        limit: Most jobs.
    """
    items: list[Job] = []
    looks = 0
    while True:
        ids = _visible_ids(backends, caller, before=before, limit=limit + 1)
        for job_id in ids:
            if len(items) == limit or looks == MOST_LOOKS:
                return items, before
            before, looks = job_id, looks + 1
            job = _read(backends, caller, job_id)
            if job is not None and (not states or job.state in states):
                items.append(job)
        if len(ids) <= limit:
            return items, None


def _read(backends: Backends, caller: Caller, job_id: str) -> Job | None:
    """Return a job; None for one that is gone or was never accepted, or that is on the wrong list."""
    try:
        return backends.reader.read(job_id) if caller.may_see(backends.known.owner(job_id)) else None
    except (JobGoneError, JobNotFoundError):
        if caller.owner is not None:
            with suppress(QueueUnavailableError):
                backends.holders.lists.remove(caller.owner, job_id)
    return None


def _visible_ids(backends: Backends, caller: Caller, *, before: str | None, limit: int) -> list[str]:
    if caller.is_admin:
        return backends.jobs.ids(before=before, limit=limit)
    if caller.owner is None:
        return []
    with suppress(QueueUnavailableError):
        if backends.holders.lists.are_complete():
            return backends.holders.lists.page(caller.owner, before=before, limit=limit)
    return _ids_by_looking(backends, caller, before=before, limit=limit)


def _ids_by_looking(backends: Backends, caller: Caller, *, before: str | None, limit: int) -> list[str]:
    """Find the caller's jobs among everyone's, for as long as the lists of owners are not known."""
    found: list[str] = []
    while len(found) < limit:
        batch = backends.jobs.ids(before=before, limit=LOOKED_AT_ONCE)
        found += [job_id for job_id in batch if _is_visible(backends, caller, job_id)]
        if len(batch) < LOOKED_AT_ONCE:
            break
        before = batch[-1]
    return found[:limit]


def _is_visible(backends: Backends, caller: Caller, job_id: str) -> bool:
    with suppress(JobNotFoundError):  # erased at this moment
        return caller.may_see(backends.known.owner(job_id))
    return False
