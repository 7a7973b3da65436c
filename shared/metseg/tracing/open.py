"""Opens the tracer of a process."""

from metseg.tracing.api import OFF, Tracer, TraceSettings


def open_tracer(service: str, settings: TraceSettings) -> Tracer:
    """The tracer of a process; to be made after a fork, for it holds a thread.

    Args:
        service: The name under which its spans are found.
        settings: Where they go.

    Raises:
        SettingsError: The file cannot be written.
    """
    if settings.otlp_endpoint is None and settings.trace_file is None:
        return OFF
    from metseg.tracing.opentelemetry import Telemetry  # the extra `tracing` is loaded only where it is asked for

    return Telemetry(service, settings)


def load_tracing(settings: TraceSettings) -> None:
    """Stop the start where spans cannot be written, and load what the processes forked later need for them.

    Raises:
        SettingsError: The file cannot be written.
    """
    open_tracer("", settings).close()
