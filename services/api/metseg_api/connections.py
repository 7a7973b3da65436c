"""Connections that bring no request must not keep others out.

uvicorn closes a connection that stays idle after an answer, and no other. Here each has a deadline for the head of
its next request and one for reading the answer; where there are too many, the longest idle one is closed.
"""

import asyncio
import logging
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 20.0
"""From the first byte of a connection, or of a later request on it, to the end of the request's head."""
STALL_S = 60.0
"""How long an answer may wait for its reader to take more of it."""

logger = logging.getLogger(__name__)


class GuardedProtocol(H11Protocol):
    """HTTP/1.1 of uvicorn with deadlines; made by `guarded_protocol`.

    Attributes:
        most_connections: Open ones of this server.
        idle: Those without a request that is being answered, the longest idle one first.
    """

    most_connections: ClassVar[int]
    idle: ClassVar[dict["GuardedProtocol", None]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_deadline: asyncio.TimerHandle | None = None
        self._stall_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a connection, in place of the longest idle one where there are too many."""
        super().connection_made(transport)
        self.idle[self] = None
        self._expect_head()
        if len(self.connections) > self.most_connections:
            logger.warning("too many connections, the longest idle one is closed")
            next(iter(self.idle)).drop()

    def data_received(self, data: bytes) -> None:
        """Take bytes; what is no part of a request that is being answered has to become one in time."""
        if not self._is_busy() and self._head_deadline is None:
            self._expect_head()
        super().data_received(data)
        self._note_state()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._note_state()

    def pause_writing(self) -> None:
        """Stop answering until the reader has taken what was sent."""
        super().pause_writing()
        self._stall_deadline = self.loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on answering."""
        super().resume_writing()
        self._cancel_stall_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._cancel_head_deadline()
        self._cancel_stall_deadline()
        self.idle.pop(self, None)
        super().connection_lost(exc)

    def drop(self) -> None:
        """Close the connection, once what has been answered on it is sent."""
        self.idle.pop(self, None)
        self.connections.discard(self)
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(STALL_S, self.transport.abort)

    def _expect_head(self) -> None:
        self._head_deadline = self.loop.call_later(HEAD_S, self.drop)

    def _cancel_head_deadline(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _cancel_stall_deadline(self) -> None:
        if self._stall_deadline is not None:
            self._stall_deadline.cancel()
            self._stall_deadline = None

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _note_state(self) -> None:
        if self._is_busy():
            self._cancel_head_deadline()
            self.idle.pop(self, None)
        elif self in self.connections:
            self.idle.setdefault(self)


def guarded_protocol(most_connections: int) -> type[GuardedProtocol]:
    """Make the protocol of one server, which has so many connections at most."""
    return type("ServerProtocol", (GuardedProtocol,), {"most_connections": most_connections, "idle": {}})
