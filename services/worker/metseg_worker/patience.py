"""Waits for a store that is away or full, since neither is the fault of the job that needs it."""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from metseg.errors import StoreUnavailableError

WAITS_S: Final = 300.0
"""Long enough for a store to start again, for results to expire, or for somebody to make room."""
AGAIN_AFTER_S: Final = 1.0

T = TypeVar("T")

logger = logging.getLogger(__name__)


def patiently(act: Callable[[], T], check: Callable[[], None], *, job_id: str) -> T:
    """What `act` gives; while the store cannot be read or written it is tried again, each second.

    Args:
        act: May be done twice, or half and then again.
        check: Called before each repetition; what it raises ends the waiting.
        job_id: For the log.

    Raises:
        StoreUnavailableError: The store was away or full for `WAITS_S`.
    """
    began = time.monotonic()
    told = False
    while True:
        try:
            return act()
        except StoreUnavailableError as exc:
            if time.monotonic() - began >= WAITS_S:
                raise
            if not told:
                logger.warning("the attempt waits for the store", extra={"job_id": job_id, "code": exc.code})
            told = True
        time.sleep(AGAIN_AFTER_S)
        check()
