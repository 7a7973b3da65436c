"""Asks again and again whether the model server is there, for a worker that takes no job while it is away.

The worker's parent forks for every job, so it must not hold a gRPC connection; the reconciler process asks instead
and leaves the answer in memory that both share.
"""

import logging
import multiprocessing
import time
from collections.abc import Callable
from typing import Final

from metseg.errors import ServingError
from metseg.models.library import ModelLibrary
from metseg_worker.settings import WorkerSettings

logger = logging.getLogger(__name__)

ASK_EVERY_S: Final = 1.0
ANSWER_WITHIN_S: Final = 5.0
STALE_S: Final = 15.0
"""A look longer ago than that means nothing any more: its process has died, and the worker goes on without."""


class ServingProbe:
    """What the model server answered last; made by the parent before it forks the process that asks."""

    def __init__(self, settings: WorkerSettings) -> None:
        """Take the settings; until the server has answered for the first time it counts as away."""
        self._settings = settings
        self._away_at = multiprocessing.get_context("fork").RawValue("d", time.monotonic())

    def is_there(self) -> bool:
        """Return whether jobs may be taken: nobody has found the server away in the last `STALE_S`."""
        away_for_s: float = time.monotonic() - self._away_at.value
        return away_for_s > STALE_S

    def run(self, wait: Callable[[float], bool]) -> None:
        """Ask until told to stop; `wait` is given the seconds to the next look and answers whether to stop."""
        from metseg.serving.admin import ServingControl  # gRPC, which the parent must not start before it forks

        library = ModelLibrary(self._settings.models)
        with ServingControl(self._settings.serving, timeout_s=ANSWER_WITHIN_S) as control:
            while True:
                self._note(control.is_ready, library.names())
                if wait(ASK_EVERY_S):
                    return

    def _note(self, is_ready: Callable[[list[str]], bool], models: list[str]) -> None:
        try:
            is_there = is_ready(models)
        except ServingError as exc:
            logger.debug("the model server is away", extra={"code": exc.code})
            is_there = False
        self._away_at.value = float("-inf") if is_there else time.monotonic()
