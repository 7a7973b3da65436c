"""Who waits for a worker, and how fast the line moves.

Read from RQ's own records, so it costs the workers nothing and is right again after a restart of Redis.
"""

import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from metseg.queue.circuit_breaker import CircuitBreaker
from metseg.queue.dispatcher import QUEUE_NAMES, ROUTINE_EVERY, open_queue
from metseg.queue.redis import connect, redis_errors
from metseg.schemas.job import Priority

WORKERS_KEY: Final = "rq:workers:{}"
"""Where RQ keeps the names of a queue's workers; each is a key that lives as long as its worker beats."""
SERVING_AWAY_FIELD: Final = "serving_away"
"""A field of a worker's own record in Redis, there while the worker takes no job for want of the model server."""
RECENT: Final = 20
"""From how many attempts that ended last, of each lane, the typical duration is taken."""
REMEMBERED_S: Final = 5.0
"""How long the pace is told again before Redis is asked again."""
BEATING_S: Final = 45.0
"""A worker that waits beats every quarter of a minute, one at work more often."""


@dataclass(frozen=True)
class Throughput:
    """How fast the line moves.

    Attributes:
        workers: Workers that are alive.
        typical_s: Median duration of the attempts that ended last, in seconds; None while none has ended.
        serving_is_away: Whether every one of them takes no job, because the model server is away.
    """

    workers: int
    typical_s: float | None
    serving_is_away: bool = False


class WaitingLine:
    """Looks at the queue and changes nothing; every method may raise `QueueUnavailableError`."""

    def __init__(self, redis_url: str, breaker: CircuitBreaker | None = None) -> None:
        self._redis = connect(redis_url, breaker)
        self._lanes = {lane: open_queue(self._redis, lane) for lane in Priority}
        self._pace: tuple[float, Throughput] | None = None

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

    def pace(self) -> Throughput:
        """How fast the line moves, at most some seconds ago."""
        now = time.monotonic()
        if self._pace is None or now - self._pace[0] > REMEMBERED_S:
            with redis_errors():
                workers, held_up = self._workers()
                self._pace = now, Throughput(workers, self._typical_s(), serving_is_away=0 < workers == held_up)
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

    def _workers(self) -> tuple[int, int]:
        """How many workers are alive, and how many of them take no job while the model server is away."""
        names = self._redis.smembers(WORKERS_KEY.format(QUEUE_NAMES[Priority.ROUTINE]))  # all serve every lane
        if not names:
            return 0, 0
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.exists(*names)  # of a worker that was killed only its name stays
            for name in names:
                pipeline.hexists(name, SERVING_AWAY_FIELD)
            alive, *held_up = pipeline.execute()
        return int(alive), sum(held_up)

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
