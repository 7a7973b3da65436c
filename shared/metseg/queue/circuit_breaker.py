"""Stops waiting for a server that has just left a call without an answer.

Each call to a frozen server costs its whole time limit, and one request makes several. So after one that timed out
the next ones fail at once; every `open_s` seconds a single one is let through, to see whether the server is back.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


class CircuitOpenError(Exception):
    """The server was not asked, since it did not answer a moment ago."""


class CircuitBreaker:
    """Shared by all clients of one server in a process; may be used from several threads."""

    def __init__(self, timeout: type[Exception], *, open_s: float) -> None:
        """Take the error that a call without an answer ends with, and the seconds from one trial to the next."""
        self._timeout, self._open_s = timeout, open_s
        self._lock = threading.Lock()
        self._next_trial_at: float | None = None
        self._on_trial: int | None = None

    def __deepcopy__(self, memo: object) -> Self:
        """Stay one: redis-py copies its settings into each connection."""
        return self

    @contextmanager
    def call(self) -> Iterator[None]:
        """Make a call to the server within this context, or another one within that call.

        Raises:
            CircuitOpenError: The server did not answer a moment ago.
        """
        self._enter()
        timed_out = False
        try:
            yield
        except self._timeout:
            timed_out = True
            raise
        finally:
            self._note(timed_out=timed_out)

    def _enter(self) -> None:
        with self._lock:
            if self._next_trial_at is None or self._on_trial == threading.get_ident():
                return
            if self._on_trial is not None or time.monotonic() < self._next_trial_at:
                raise CircuitOpenError
            self._on_trial = threading.get_ident()

    def _note(self, *, timed_out: bool) -> None:
        """Note how a call ended; an error that came in time is an answer too."""
        with self._lock:
            self._on_trial = None
            self._next_trial_at = time.monotonic() + self._open_s if timed_out else None
