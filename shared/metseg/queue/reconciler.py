"""Recovers orphaned jobs, so that every accepted job ends, whatever dies.

Every API and every worker runs one; one at a time leads. It counts time by its own clock and from its own looks,
so that neither a clock that jumps nor a Redis that was away makes it take the living for dead.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Final

from metseg.errors import QueueUnavailableError, StoreError, StoreUnavailableError
from metseg.jobs.store import JobStore
from metseg.queue.dispatcher import Dispatcher
from metseg.queue.heartbeats import MOST_AT_ONCE, JobLeases
from metseg.queue.recovery import Recovery
from metseg.schemas.job import is_job_id

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
UNHELD_S: Final = 8.0
"""A job that nobody has at every look for so long is settled. With `BEAT_LASTS_S` before that, in which a new
leader is found where the old one died too, a dead worker is noticed within 30 s."""
SWEEP_EVERY_S: Final = 3600.0
"""How often a leader sweeps what belongs to no job; what is younger than that may still be wanted."""
SHARED: Final = ("keys", "audit")
"""The folders of the store that belong to no single job."""
DAMAGED_S: Final = 300.0
"""How long a job is let be that the store cannot make sense of."""


class Reconciler:
    """Requeues what nobody has, rebuilds the queue from the store, expires and sweeps."""

    def __init__(self, store: JobStore, dispatcher: Dispatcher, holders: JobLeases, *, timeout_s: float) -> None:
        """Take what is looked after; `timeout_s` is the time limit of an attempt."""
        self._store, self._dispatcher, self._holders = store, dispatcher, holders
        self._recovery = Recovery(store, dispatcher, holders, timeout_s=timeout_s)
        self._unheld_since: dict[str, float] = {}
        self._strays: set[str] = set()
        self._swept_at = float("-inf")

    def run(self, wait: Callable[[float], bool]) -> None:
        """Look again and again; `wait` is given the seconds to the next look and answers whether to stop."""
        troubled = False
        while not wait(LOOK_EVERY_S):
            try:
                self.look()
                troubled = False
            except (QueueUnavailableError, StoreError) as exc:
                self._unheld_since.clear()
                if not troubled:
                    logger.warning("jobs are not looked after now", extra={"code": exc.code})
                troubled = True
        try:
            self._holders.step_down()
        except QueueUnavailableError:
            logger.info("Redis does not answer, the lead runs out by itself")

    def look(self) -> None:
        """Do what is due now, unless another one leads.

        Raises:
            QueueUnavailableError: Redis does not answer.
            StoreUnavailableError: the store does not.
        """
        if not self._holders.lead():
            self._unheld_since.clear()
            return
        if self._holders.begin_scan():
            found = {job_id for job_id in self._store.blobs.names("jobs") if is_job_id(job_id)}
            self._each(sorted(found - self._holders.known()), self._recovery.take_in)
            self._complete_lists(found)
        if time.monotonic() - self._swept_at >= SWEEP_EVERY_S:
            self._swept_at = time.monotonic()
            self._sweep()
        for job_id, attempt, code in self._holders.lost():
            self._each([job_id], partial(self._lose, attempt, code))
        self._each(self._long_unheld(), self._recovery.settle)
        self._each(self._holders.due(), self._recovery.expire)

    def _complete_lists(self, found: Collection[str]) -> None:
        """List every job of the store under its owner, where Redis has lost the lists or never had any."""
        if self._holders.lists.are_complete():
            return
        self._each(sorted(found), self._recovery.list)
        if self._holders.lead():
            self._holders.lists.mark_complete()

    def _sweep(self) -> None:
        """Remove half-written files of long ago, and keys that stood for no job at the last sweep either."""
        for folder in SHARED:
            self._store.blobs.sweep(folder, older_than_s=SWEEP_EVERY_S)
        strays = self._store.stray_keys()
        for key in strays & self._strays:
            self._store.blobs.delete(key)
        self._strays = strays

    def _lose(self, attempt: int, code: str, job_id: str) -> None:
        self._recovery.lose(job_id, attempt, code)
        self._holders.drop_report(job_id, attempt)

    def _long_unheld(self) -> list[str]:
        now = time.monotonic()
        unheld = self._holders.unheld(self._dispatcher.waiting())
        self._unheld_since = {job_id: self._unheld_since.get(job_id, now) for job_id in unheld}
        return [one for one in unheld if now - self._unheld_since[one] >= UNHELD_S][:MOST_AT_ONCE]

    def _each(self, job_ids: Iterable[str], act: Callable[[str], None]) -> None:
        """Act on jobs one by one as long as this one leads; a job that is damaged does not hold up the others."""
        for job_id in job_ids:
            if not self._holders.lead():
                return
            try:
                act(job_id)
            except StoreUnavailableError:
                raise
            except StoreError as exc:
                logger.error("job cannot be looked after", extra={"job_id": job_id, "code": exc.code})
                self._unheld_since[job_id] = time.monotonic() + DAMAGED_S
