"""When a job is erased and when the last trace of it goes.

Both come from dates that somebody's clock made up, so they are never beyond the calendar's last day.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from metseg.schemas.job import MOST_KEPT_S, JobRecord, JobResult

TOMBSTONE_KEPT_S = 2 * MOST_KEPT_S
"""How long after its creation an erased job is still known to have been there."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_DAY = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)
"""The latest date that is ever given: a day before the calendar ends, so that every time zone can tell it."""


def expires_at(record: JobRecord, final: JobResult | None) -> datetime:
    """Return when a job and all of its data are erased; `final` is None while it has not ended."""
    return _after(record.created_at if final is None else final.finished_at, record.kept_s)


def forgotten_at(job_id: str) -> datetime:
    """Return when the last trace of a job, its tombstone, goes."""
    return _after(EPOCH, (UUID(job_id).int >> 80) / 1000 + TOMBSTONE_KEPT_S)


def _after(moment: datetime, seconds: float) -> datetime:
    try:
        return min(moment + timedelta(seconds=seconds), LAST_DAY)
    except OverflowError:
        return LAST_DAY
