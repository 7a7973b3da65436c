"""Spans by OpenTelemetry, the only module that imports it: to a collector over OTLP, or into a file."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from metseg.errors import MetsegError, SettingsError
from metseg.logs import TRACE_ID
from metseg.tracing.api import FACTS, Fact, Side, Span, TraceSettings

SEND_EVERY_S: Final = 1.0
SEND_WITHIN_S: Final = 2.0
MOST_LETTERS: Final = 200


class Telemetry:
    """A `Tracer`; holds a thread that sends the spans."""

    def __init__(self, service: str, settings: TraceSettings) -> None:
        """Begin to collect.

        Raises:
            SettingsError: The file cannot be written.
        """
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service}), shutdown_on_exit=False
        )
        for exporter in _exporters(settings):
            self._provider.add_span_processor(
                BatchSpanProcessor(
                    exporter,
                    schedule_delay_millis=SEND_EVERY_S * 1000,
                    export_timeout_millis=SEND_WITHIN_S * 1000,
                )
            )
        self._tracer = self._provider.get_tracer("metseg")

    @contextmanager
    def span(
        self, name: str, *, side: Side = Side.INTERNAL, parent: str | None = None, **facts: Fact
    ) -> Iterator[Span]:
        """See `Tracer.span`."""
        span = self._begin(name, side, _context(parent), facts)
        told = TRACE_ID.set(span.trace_id)
        try:
            with use_span(span.otel, record_exception=False, set_status_on_exception=False):
                yield span
        except BaseException as exc:
            span.end(exc.code if isinstance(exc, MetsegError) else type(exc).__name__)
            raise
        finally:
            TRACE_ID.reset(told)
            span.end()

    def begin(self, name: str, *, side: Side = Side.INTERNAL, **facts: Fact) -> Span:
        """See `Tracer.begin`."""
        return self._begin(name, side, None, facts)

    def close(self) -> None:
        """See `Tracer.close`."""
        self._provider.shutdown()

    def _begin(self, name: str, side: Side, context: Context | None, facts: Mapping[str, Fact]) -> "_Span":
        otel = self._tracer.start_span(name, context, kind=SpanKind[side.name], attributes=_attributes(facts))
        return _Span(otel)


class _Span(Span):
    def __init__(self, otel: OtelSpan) -> None:
        self.otel = otel
        context = otel.get_span_context()
        self.trace_id = format_trace_id(context.trace_id)
        self.traceparent = f"00-{self.trace_id}-{format_span_id(context.span_id)}-{context.trace_flags:02x}"

    def tell(self, **facts: Fact) -> None:
        self.otel.set_attributes(_attributes(facts))

    def rename(self, name: str) -> None:
        self.otel.update_name(name)

    def end(self, code: str | None = None) -> None:
        if not self.otel.is_recording():
            return
        if code is not None:
            self.tell(code=code)
            self.otel.set_status(StatusCode.ERROR)
        self.otel.end()


class JsonLinesExporter(SpanExporter):
    """Appends spans to a file, each as a line of JSON; several processes may share the file."""

    def __init__(self, path: Path) -> None:
        """Open the file, which is made for its owner's eyes.

        Raises:
            SettingsError: It cannot be written.
        """
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as exc:
            raise SettingsError(f"METSEG_TRACE_FILE: cannot write the file ({exc.strerror})") from exc

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append the spans at once, so that no other process writes between them."""
        lines = "".join(json.dumps(_line(span)) + "\n" for span in spans)
        try:
            os.write(self._file, lines.encode())
        except OSError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file."""
        os.close(self._file)


def _exporters(settings: TraceSettings) -> Iterator[SpanExporter]:
    if settings.otlp_endpoint is not None:
        yield OTLPSpanExporter(settings.otlp_endpoint, timeout=SEND_WITHIN_S)
    if settings.trace_file is not None:
        yield JsonLinesExporter(settings.trace_file)


def _context(parent: str | None) -> Context | None:
    """The context that a `traceparent` names; None, which is the current one, where it names none."""
    if parent is None:
        return None
    return TraceContextTextMapPropagator().extract({"traceparent": parent})


def _attributes(facts: Mapping[str, Fact]) -> dict[str, str | int | float]:
    return {
        FACTS[name]: fact[:MOST_LETTERS] if isinstance(fact, str) else fact
        for name, fact in facts.items()
        if name in FACTS and fact is not None
    }


def _line(span: ReadableSpan) -> dict[str, object]:
    return {
        "trace_id": format_trace_id(span.context.trace_id),
        "span_id": format_span_id(span.context.span_id),
        "parent_id": None if span.parent is None else format_span_id(span.parent.span_id),
        "service": span.resource.attributes["service.name"],
        "name": span.name,
        "kind": span.kind.name.lower(),
        "began_at": _time(span.start_time),
        "ended_at": _time(span.end_time),
        "failed": span.status.status_code is StatusCode.ERROR,
        "attributes": dict(span.attributes or {}),
    }


def _time(nanoseconds: int | None) -> str:
    return datetime.fromtimestamp((nanoseconds or 0) / 1e9, UTC).isoformat(timespec="microseconds")
