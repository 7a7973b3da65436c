"""Server-sent events: a job told again at each change, until it has ended.

Every event is the whole job and its id the job's entity tag, so there is no history to keep: a reader that comes
back with `Last-Event-ID` gets the job as it stands now, unless that is what it knows.
"""

import time
from collections.abc import AsyncIterator
from contextlib import suppress

from metseg.errors import JobGoneError, JobNotFoundError
from metseg.schemas.job import Job
from metseg_api.jobs.reader import entity_tag
from metseg_api.jobs.watcher import JobWatch

MEDIA_TYPE = "text/event-stream"
BEAT_S = 15.0
MOST_STREAM_S = 3600.0
"""A stream is ended then; its reader comes back with the last id."""
COME_BACK_MS = 2000


def event_id(job: Job) -> str:
    """The id of the event that tells this job as it stands."""
    return entity_tag(job).strip('"')


async def job_events(watch: JobWatch, job_id: str, known: str | None) -> AsyncIterator[str]:
    """The events of a job, from the first one that is not `known`; comments in between show that the line lives.

    It ends with the final state, when the job is deleted, or after an hour.
    """
    until = time.monotonic() + MOST_STREAM_S
    yield f"retry: {COME_BACK_MS}\n\n"
    with suppress(JobGoneError, JobNotFoundError):
        async with watch.following(job_id) as seen:
            while (left := until - time.monotonic()) > 0:
                job = seen.job
                if event_id(job) != known:
                    known = event_id(job)
                    yield f"id: {known}\nevent: job\ndata: {job.model_dump_json()}\n\n"
                elif job.state.is_final:
                    return
                elif not await seen.change(min(left, BEAT_S)):
                    yield ": still following\n\n"
