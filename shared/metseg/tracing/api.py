"""Traces: what a request or an attempt spends its time on, as spans that hang together across processes.

Off unless the settings name a place to send them to; then nothing here does anything. What a span may tell is the
list of `FACTS`: ids, names that are ours, numbers and codes, and neither a path, a query nor an exception's text.
The context goes from process to process as a `traceparent` (W3C Trace Context, section 3.2).
"""

from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from pydantic import Field

from metseg.settings import EnvSettings

FACTS: Final = {
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
    "request_id": "metseg.request_id",
    "job_id": "metseg.job_id",
    "attempt": "metseg.attempt",
    "state": "metseg.state",
    "code": "metseg.code",
    "model": "metseg.model",
    "version": "metseg.model_version",
    "slices": "metseg.slices",
}
"""What may be told of a span, and under which name; anything else is left out."""

Fact = str | int | float | None


class TraceSettings(EnvSettings):
    """Where spans go; nowhere without either.

    Attributes:
        otlp_endpoint: Address of a collector that takes OTLP over HTTP, such as `http://collector:4318/v1/traces`.
        trace_file: A file that grows by one JSON line a span, where there is no collector.
    """

    otlp_endpoint: str | None = Field(default=None, pattern="^https?://[^/]+/")
    trace_file: Path | None = None


class Side(StrEnum):
    """Which side of a call a span is."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span:
    """One piece of work; this one is told to nobody."""

    trace_id: str | None = None
    """32 hexadecimal digits, the same for all spans of a trace."""
    traceparent: str | None = None
    """How another process refers to this span."""

    def tell(self, **facts: Fact) -> None:
        """Add facts; see `FACTS`."""

    def rename(self, name: str) -> None:
        """Give it a name that was not known at its beginning."""

    def end(self, code: str | None = None) -> None:
        """End it; with the code of an error if it failed."""


class Tracer(Protocol):
    """Makes spans."""

    def span(
        self, name: str, *, side: Side = Side.INTERNAL, parent: str | None = None, **facts: Fact
    ) -> AbstractContextManager[Span]:
        """A span around a block, and around every span that begins within; an exception marks it as failed.

        Args:
            name: What is done; few different ones.
            side: Which side of a call it is.
            parent: The `traceparent` of another process; without it, or where it is damaged, the span around
                this one is the parent, or none.
            **facts: What is known at the beginning; see `FACTS`.
        """

    def begin(self, name: str, *, side: Side = Side.INTERNAL, **facts: Fact) -> Span:
        """A span below the current one that ends by `Span.end`, in whatever thread; no others begin within it."""

    def close(self) -> None:
        """Send what was not sent yet; waits a few seconds at most."""


class _Off:
    """Makes spans that are told to nobody."""

    def span(self, *_: object, **_facts: object) -> AbstractContextManager[Span]:
        return nullcontext(Span())

    def begin(self, *_: object, **_facts: object) -> Span:
        return Span()

    def close(self) -> None:
        pass


OFF: Final[Tracer] = _Off()
