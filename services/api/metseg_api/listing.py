"""Which jobs a caller sees in a list."""

from contextlib import suppress

from metseg.errors import JobNotFoundError
from metseg_api.backends import Backends
from metseg_api.callers import Caller

LOOKED_AT_ONCE = 500


def visible_ids(backends: Backends, caller: Caller, *, before: str | None, limit: int) -> list[str]:
    """Ids of the caller's jobs, newest first, beginning below `before`; an administrator sees everyone's."""
    if caller.is_admin:
        return backends.jobs.ids(before=before, limit=limit)
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
        return caller.may_see(backends.owners.of(job_id))
    return False
