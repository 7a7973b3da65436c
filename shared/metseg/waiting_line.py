"""Who waits for a worker, and how fast the line moves.

Read from RQ's own records, so it costs the workers nothing and is right again after a restart of Redis.
"""

import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from metseg.dispatch import QUEUE_NAMES, ROUTINE_EVERY, connect, open_queue, redis_errors
from metseg.jobs import Priority

WORKERS_KEY: Final = "rq:workers:{}"
"""Where RQ keeps the names of a queue's workers; each is a key that lives as long as its worker beats."""
RECENT: Final = 20
"""From how many attempts that ended last, of each lane, the typical duration is taken."""
REMEMBERED_S: Final = 5.0
"""How long the pace is told again before Redis is asked anew."""
BEATING_S: Final = 45.0
"""A worker that waits beats every quarter of a minute, one at work more often."""


@dataclass(frozen=True)
class Pace:
    """How fast the line moves.

    Attributes:
        workers: Workers that are alive.
        typical_s: Median duration of the attempts that ended last, in seconds; None while none has ended.
    """

    workers: int
    typical_s: float | None


class WaitingLine:
    """Looks at the queue and changes nothing; every method may raise `QueueUnavailableError`."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connect(redis_url)
        self._lanes = {lane: open_queue(self._redis, lane) for lane in Priority}
        self._pace: tuple[float, Pace] | None = None

    def position(self, job_id: str, attempt: int, priority: Priority = Priority.ROUTINE) -> int | None:
        """The place of an attempt in the line, 1 being the next; None where it does not wait.

        What is routine stands behind what is urgent, but for the picks that are its own.
        """
        with redis_errors():
            ahead = self._lanes[priority].get_job_position(f"{job_id}-{attempt}")
            if ahead is None:
                return None
            if priority is Priority.URGENT:
                others = min(int(self._lanes[Priority.ROUTINE].count), ahead // (ROUTINE_EVERY - 1))
            else:
                others = min(int(self._lanes[Priority.URGENT].count), (ROUTINE_EVERY - 1) * (ahead + 1))
        return others + ahead + 1

    def pace(self) -> Pace:
        """How fast the line moves, at most some seconds ago."""
        now = time.monotonic()
        if self._pace is None or now - self._pace[0] > REMEMBERED_S:
            with redis_errors():
                self._pace = now, Pace(self._workers(), self._typical_s())
        return self._pace[1]

    def oldest_s(self, lane: Priority) -> float:
        """How long the attempt that waits longest in a lane has waited, in seconds; 0 where none does."""
        queue = self._lanes[lane]
        with redis_errors():
            ids = queue.get_job_ids(0, 1)
            first = queue.fetch_job(ids[0]) if ids else None
        if first is None or first.enqueued_at is None:
            return 0.0
        return max((datetime.now(UTC) - first.enqueued_at).total_seconds(), 0.0)

    def depth(self, lane: Priority) -> int:
        """How many attempts wait in a lane."""
        with redis_errors():
            return int(self._lanes[lane].count)

    def beats_on(self, host: str) -> bool:
        """Whether a worker of that host name has beaten within the last `BEATING_S`."""
        with redis_errors():
            names = self._redis.smembers(WORKERS_KEY.format(QUEUE_NAMES[Priority.ROUTINE]))
            told = [self._redis.hmget(name, "hostname", "last_heartbeat") for name in names]
        beats = [str(beat, "utf-8") for at, beat in told if isinstance(beat, bytes) and at == host.encode()]
        now = datetime.now(UTC)
        return any((now - datetime.fromisoformat(beat)).total_seconds() < BEATING_S for beat in beats)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _workers(self) -> int:
        names = self._redis.smembers(WORKERS_KEY.format(QUEUE_NAMES[Priority.ROUTINE]))  # all serve every lane
        return int(self._redis.exists(*names)) if names else 0  # of a worker that was killed only its name stays

    def _typical_s(self) -> float | None:
        spans = [span for lane in Priority for span in self._ended_spans_s(lane)]
        return statistics.median(spans) if spans else None

    def _ended_spans_s(self, lane: Priority) -> list[float]:
        queue = self._lanes[lane]
        ids = queue.finished_job_registry.get_job_ids(0, RECENT - 1, desc=True, cleanup=False)
        found = queue.job_class.fetch_many(ids, connection=self._redis, serializer=queue.serializer)
        return [
            (job.ended_at - job.started_at).total_seconds()
            for job in found
            if job is not None and job.started_at is not None and job.ended_at is not None
        ]
