"""A span around each stage of an attempt."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from metseg.inference.segment import OnProgress
from metseg.schemas.job import Stage
from metseg.tracing.api import Tracer


@contextmanager
def staged(tracer: Tracer, on_progress: OnProgress) -> Iterator[OnProgress]:
    """An `OnProgress` that begins a span with each stage; the last one ends with the block."""
    current: Stage | None = None
    with ExitStack() as span:

        def tell(stage: Stage, done: int, total: int) -> None:
            nonlocal current
            if stage is not current:
                span.close()
                span.enter_context(tracer.span(stage.value))
                current = stage
            on_progress(stage, done, total)

        yield tell
