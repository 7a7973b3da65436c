"""Watches over a running attempt: its progress, its time limit, and whether it is to stop."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from metseg.errors import AttemptGivenUpError, JobCancelledError, JobTimeoutError, QueueUnavailableError
from metseg.queue.dispatcher import Dispatcher
from metseg.schemas.job import Progress, Stage, WaitsFor

logger = logging.getLogger(__name__)

STARTS_AT: Final = {Stage.READ: 0.0, Stage.PREPARE: 0.08, Stage.PREDICT: 0.12, Stage.FINISH: 0.9}
"""The share of a whole job that is done when a stage begins."""
WRITE_EVERY_S: Final = 0.5
LOOK_EVERY_S: Final = 0.2
WAITING: Final = "waiting"
"""What `timings_s` calls the time in which the attempt waited for the model server."""
STUCK_S: Final = 1.0
"""An attempt that is to stop and has not after so long is in the middle of something long, and is killed."""


class AttemptMonitor:
    """Made when an attempt starts; its `check` and `on_progress` raise when the attempt is to end.

    Redis only helps here: when it is away, progress is not shown and a cancel is seen later, but the job goes on.
    What the attempt waits for the model server counts neither for its time limit nor for the stage it is in.
    """

    def __init__(
        self, dispatcher: Dispatcher, job_id: str, attempt: int, *, limit_s: float, on_stuck: Callable[[], None]
    ) -> None:
        self.started_at = datetime.now(UTC)
        self._dispatcher = dispatcher
        self._job_id, self._attempt, self._limit_s = job_id, attempt, limit_s
        self._start = time.monotonic()
        self._stage, self._stage_start = Stage.READ, self._start
        self._scan, self._scans = 1, 1
        self._done, self._total = 0, 0
        self._waits_since: float | None = None
        self._waited_s = 0.0
        self._seconds: dict[str, float] = {}
        self._last_look = self._last_write = float("-inf")
        self._on_stuck = on_stuck
        self._given_up = False
        self._to_stop_since: float | None = None

    def on_beat(self, held: bool) -> None:
        """Note, in the heart's thread, whether the attempt may go on; call `on_stuck` where it does not stop.

        Args:
            held: Whether the beat was taken; it is not when the job was handed to a later attempt.
        """
        self._given_up = not held
        if held and not self._cancelled():
            return
        now = time.monotonic()
        if self._to_stop_since is None:
            self._to_stop_since = now
        elif now - self._to_stop_since >= STUCK_S:
            logger.warning("attempt does not stop", extra={"job_id": self._job_id, "attempt": self._attempt})
            self._on_stuck()

    def check(self, *, look: bool = False) -> None:
        """Return when the attempt may go on.

        Args:
            look: Ask Redis for a cancel even if that was done a moment ago.

        Raises:
            AttemptGivenUpError: the job was handed to a later attempt.
            JobCancelledError: somebody asked to stop.
            JobTimeoutError: the time limit is reached.
        """
        now = time.monotonic()
        if now - self._start - self._waited(now) > self._limit_s:
            raise JobTimeoutError(f"The job took longer than its limit of {self._limit_s:g} seconds.")
        if self._given_up:
            raise AttemptGivenUpError("The attempt was taken for dead and the job handed to another.")
        if not look and now - self._last_look < LOOK_EVERY_S:
            return
        self._last_look = now
        if self._cancelled():
            raise JobCancelledError("The job was cancelled.")

    def expect(self, scans: int) -> None:
        """Tell how many scans the job has; the work on each begins with its reading."""
        self._scans = scans

    def on_progress(self, stage: Stage, done: int, total: int) -> None:
        """Note a stage and its slices, show them, and `check`."""
        now = time.monotonic()
        is_new = stage is not self._stage
        if is_new:
            self._scan += stage is Stage.READ
            self._seconds = self._spent(now)
            self._stage, self._stage_start = stage, now
        self._done, self._total = done, total
        if is_new or done == total or now - self._last_write >= WRITE_EVERY_S:
            self._last_write = now
            self._write(stage)
        self.check(look=is_new)

    def on_wait(self, is_waiting: bool) -> None:
        """Note and show that the attempt begins to wait for the model server, or goes on."""
        now = time.monotonic()
        if self._waits_since is not None:
            self._waited_s += now - self._waits_since
            self._stage_start += now - self._waits_since
        self._waits_since = now if is_waiting else None
        self._write(self._stage)

    def timings_s(self) -> dict[str, float]:
        """Seconds spent in each stage so far, waiting for the model server (if any), and in all."""
        now = time.monotonic()
        waited_s = self._waited(now)
        seconds = self._spent(now) | ({WAITING: waited_s} if waited_s else {}) | {"total": now - self._start}
        return {name: round(value, 3) for name, value in seconds.items()}

    def _spent(self, now: float) -> dict[str, float]:
        """Seconds of each stage, over all scans."""
        stage, until = self._stage.value, now if self._waits_since is None else self._waits_since
        return self._seconds | {stage: self._seconds.get(stage, 0.0) + until - self._stage_start}

    def _waited(self, now: float) -> float:
        """Seconds that the attempt has waited for the model server."""
        return self._waited_s + (0.0 if self._waits_since is None else now - self._waits_since)

    def _cancelled(self) -> bool:
        try:
            return self._dispatcher.cancel_requested(self._job_id)
        except QueueUnavailableError:
            return False

    def _write(self, stage: Stage) -> None:
        begin, done, total = STARTS_AT[stage], self._done, self._total
        fraction = begin
        if stage is Stage.PREDICT and total:
            fraction += (STARTS_AT[Stage.FINISH] - begin) * done / total
        progress = Progress(
            stage=stage,
            scan=self._scan,
            scans=self._scans,
            fraction=min((self._scan - 1 + fraction) / self._scans, 1.0),
            slices_done=done,
            slices_total=total,
            waits_for=None if self._waits_since is None else WaitsFor.MODEL_SERVER,
            attempt=self._attempt,
            started_at=self.started_at,
            updated_at=datetime.now(UTC),
        )
        try:
            self._dispatcher.write_progress(self._job_id, progress)
        except QueueUnavailableError:
            logger.warning("progress not shown", extra={"job_id": self._job_id, "stage": stage.value})
