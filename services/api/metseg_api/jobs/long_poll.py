"""`Prefer: wait=N` (RFC 7240): an answer held back until there is something new."""

import re
import time

from fastapi import Request
from starlette.requests import ClientDisconnect

from metseg.schemas.job import Job
from metseg_api.jobs.reader import entity_tag, tag_matches
from metseg_api.jobs.watcher import JobWatch

MOST_WAIT_S = 60.0
STILL_THERE_S = 1.0
"""How often it is looked whether anyone still waits."""

_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,6})\"?", re.IGNORECASE)


def preferred_wait_s(header: str | None) -> float | None:
    """The seconds that a Prefer header asks for, at most a minute; None if it asks for no wait."""
    for preference in (header or "").split(","):
        if match := _WAIT.fullmatch(preference.split(";")[0].strip()):
            return min(float(match[1]), MOST_WAIT_S)
    return None


async def wait_for_change(
    request: Request, watch: JobWatch, job_id: str, *, known: str | None, wait_s: float
) -> Job:
    """The job as soon as it differs from the `known` ETag, or is final if none is known, or time is up.

    Raises:
        JobNotFoundError: There is no such job.
        JobGoneError: It is, or was meanwhile, deleted.
        ClientDisconnect: Nobody waits any more.
    """
    until = time.monotonic() + wait_s
    async with watch.following(job_id) as seen:
        while True:
            if await request.is_disconnected():
                raise ClientDisconnect
            job = seen.job
            news = job.state.is_final if known is None else not tag_matches(known, entity_tag(job))
            left = until - time.monotonic()
            if news or left <= 0:
                return job
            await seen.change(min(left, STILL_THERE_S))
