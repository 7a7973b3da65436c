"""Keeps the background loops of one process running, and tells which of them are down.

A loop that ends, by an error or by itself, is logged and started again after a pause that doubles from one failure
to the next. It counts as down until it has run for `STEADY_S` without failing, so that `/readyz` does not flicker
while a loop fails over and over.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from threading import Event
from typing import Annotated, cast

import anyio
from fastapi import Depends, Request

from metseg.logs import frames

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
STEADY_S = 10.0

_log = logging.getLogger(__name__)


@dataclass
class _Loop:
    """How a loop fares; `running_since` is None while it pauses after a failure."""

    name: str
    running_since: float | None = None
    failures: int = 0

    @property
    def runs_steadily(self) -> bool:
        return self.running_since is not None and time.monotonic() - self.running_since >= STEADY_S

    @property
    def is_down(self) -> bool:
        return self.failures > 0 and not self.runs_steadily

    def start(self) -> None:
        self.running_since = time.monotonic()

    def fail(self, error: Exception | None) -> float:
        """Log the end of a run and return the seconds to wait before the next; `error` is None if it returned."""
        self.failures = 1 if self.runs_steadily else self.failures + 1
        self.running_since = None
        cause = _first_cause(error)
        trace = None if cause is None else cause.__traceback__
        fields = {"loop": self.name, "error": type(cause).__name__, "frames": frames(trace)}
        _log.error("background loop ended", extra=fields)
        return float(min(FIRST_PAUSE_S * 2 ** (self.failures - 1), LONGEST_PAUSE_S))


class Supervisor:
    """Starts loops again that end before they are told to; made once in each process."""

    def __init__(self) -> None:
        self._loops: list[_Loop] = []

    def down(self) -> list[str]:
        """Return the names of the loops that are down."""
        return [loop.name for loop in self._loops if loop.is_down]

    async def keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a loop in the event loop until cancelled."""
        loop = self._add(name)
        while True:
            loop.start()
            error: Exception | None = None
            try:
                await run()
            except Exception as exc:  # noqa: BLE001  whatever ends one loop must not end the others
                error = exc
            await anyio.sleep(loop.fail(error))

    def keep_blocking(self, name: str, run: Callable[[], None], stop: Event) -> None:
        """Run a loop in the calling thread until `stop` is set, which the loop itself looks at too."""
        loop = self._add(name)
        while not stop.is_set():
            loop.start()
            error: Exception | None = None
            try:
                run()
            except Exception as exc:  # noqa: BLE001  whatever ends one loop must not end the others
                error = exc
            if stop.is_set():
                return
            stop.wait(loop.fail(error))

    def _add(self, name: str) -> _Loop:
        loop = _Loop(name)
        self._loops.append(loop)
        return loop


def _first_cause(error: Exception | None) -> Exception | None:
    """The error that ended a task group, where one did."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


async def _from_request(request: Request) -> Supervisor:  # a plain function would take a thread each time
    return cast(Supervisor, request.app.state.supervisor)


SupervisorOf = Annotated[Supervisor, Depends(_from_request)]
