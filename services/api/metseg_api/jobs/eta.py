"""How long a job will still take: a guess, told as such."""

from datetime import datetime

from metseg.queue.statistics import Throughput
from metseg.schemas.job import Progress, Stage


def waiting_s(position: int | None, pace: Throughput) -> float | None:
    """Seconds until a waiting job ends: those before it, shared among the workers, and then itself.

    None where no worker is alive, nothing has run lately, the model server is away, or the job is not in the line.
    """
    if position is None or pace.typical_s is None or pace.serving_is_away or not pace.workers:
        return None
    return round(pace.typical_s * (position / pace.workers + 1), 1)


def running_s(progress: Progress | None, now: datetime) -> float | None:
    """Seconds until a running job ends, from the share that is done.

    None before its slices are predicted, and while it waits for something that is away.
    """
    if progress is None or progress.stage in (Stage.READ, Stage.PREPARE) or not progress.fraction:
        return None
    if progress.waits_for is not None:
        return None
    spent_s = (progress.updated_at - progress.started_at).total_seconds()
    left_s = spent_s * (1 - progress.fraction) / progress.fraction
    return round(max(left_s - (now - progress.updated_at).total_seconds(), 0), 1)
