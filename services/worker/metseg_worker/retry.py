"""Waits for a store that is away or full, and for room on the worker's disk: none of it is the job's fault."""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from metseg.errors import ScratchFullError, StoreUnavailableError
from metseg_worker.scratch import told_when_full

WAITS_S: Final = 300.0
"""Long enough for a store to start again, for results to expire, or for somebody to make room."""
AGAIN_AFTER_S: Final = 1.0

T = TypeVar("T")

logger = logging.getLogger(__name__)


def patiently(act: Callable[[], T], check: Callable[[], None], *, job_id: str) -> T:
    """Call `act`, every second again while the store cannot be read or written or the worker's disk is full.

    Args:
        act: May be done twice, or half and then again.
        check: Called before each repetition; what it raises ends the waiting.
        job_id: For the log.

    Raises:
        StoreUnavailableError: The store was away or full for `WAITS_S`.
        ScratchFullError: The worker's disk was full for so long.
    """
    began = time.monotonic()
    told = False
    while True:
        try:
            with told_when_full():
                return act()
        except (StoreUnavailableError, ScratchFullError) as exc:
            if time.monotonic() - began >= WAITS_S:
                raise
            if not told:
                what = "the store" if isinstance(exc, StoreUnavailableError) else "room on its own disk"
                logger.warning("the attempt waits for %s", what, extra={"job_id": job_id, "code": exc.code})
            told = True
        time.sleep(AGAIN_AFTER_S)
        check()
