"""Waits for a store that cannot be written now, with a result in hand that took minutes to make."""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from metseg.errors import StoreUnavailableError

WAITS_S: Final = 300.0
"""Long enough for results that expire, or somebody, to make room; such a time the result waits in the scratch."""
AGAIN_AFTER_S: Final = 1.0

T = TypeVar("T")

logger = logging.getLogger(__name__)


def patiently(put: Callable[[], T], check: Callable[[], None], *, job_id: str) -> T:
    """What `put` gives; while the store cannot be written it is tried again, each second.

    Args:
        put: May be done twice, or half and then again.
        check: Called before each repetition; what it raises ends the waiting.
        job_id: For the log.

    Raises:
        StoreUnavailableError: The store could not be written for `WAITS_S`.
    """
    began = time.monotonic()
    told = False
    while True:
        try:
            return put()
        except StoreUnavailableError as exc:
            if time.monotonic() - began >= WAITS_S:
                raise
            if not told:
                logger.warning("the result waits for the store", extra={"job_id": job_id, "code": exc.code})
            told = True
        time.sleep(AGAIN_AFTER_S)
        check()
