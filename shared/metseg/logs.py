"""Log lines: one JSON object each, with ids and codes and nothing of a patient.

A field that is not in `FIELDS` is left out, and of an exception only its class and the places it passed are told:
a message or a local value could carry what stood in a header.
"""

import json
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Final

FIELDS: Final = (
    *("request_id", "key_id", "method", "route", "status", "duration_ms", "size_bytes", "error", "frames"),
    *("job_id", "attempt", "rq_id", "queue", "state", "code", "stage", "seconds", "loop"),
    *("child_error", "child_frames", "sandbox", "missing"),
    *("slices", "lesions", "wait_status", "waited_s", "swept", "grpc_status", "grpc_details"),
)

MOST_FRAMES: Final = 12

TRACE_ID: Final[ContextVar[str | None]] = ContextVar("trace_id", default=None)
"""The trace that is being told of; stands in every line that is logged meanwhile."""


TENSORFLOW_NOISE: Final = re.compile(
    rb"before absl::InitializeLog|oneDNN custom operations are on|Could not find cuda drivers"
    rb"|failed call to cuInit|Unable to register cu\w+ factory|TensorFlow binary is optimized"
    rb"|^To enable the following instructions"
)
"""What TensorFlow writes at its start on every host without an NVIDIA GPU, before its own log level counts."""


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time in UTC, level, logger, message and the allowed `extra` fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; of a message that has several (RQ's tracebacks) the first."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage().split("\n", 1)[0],
        }
        if (trace_id := TRACE_ID.get()) is not None:
            line["trace_id"] = trace_id
        line |= {field: record.__dict__[field] for field in FIELDS if field in record.__dict__}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__qualname__
            line["frames"] = frames(record.exc_info[2])
        return json.dumps(line, ensure_ascii=False, default=str)


class RepeatLimit(logging.Filter):
    """Lets a few records of each line of code through in a period; the next one tells how many were left out.

    For loggers that write a line for each connection that is amiss, of which anybody can make many.

    Args:
        most: Records of one line of code in a period.
        every_s: Length of a period.
    """

    def __init__(self, most: int = 10, every_s: float = 60.0) -> None:
        super().__init__()
        self._most, self._every_s = most, every_s
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written."""
        place, now = (record.pathname, record.lineno), time.monotonic()
        began, count = self._seen.get(place, (now, 0))
        if now - began >= self._every_s:
            if count > self._most:
                record.msg, record.args = f"{record.getMessage()} ({count - self._most} more were left out)", ()
            began, count = now, 0
        self._seen[place] = began, count + 1
        return count < self._most


def frames(trace: TracebackType | None) -> list[str]:
    """The places an exception passed, innermost last: module and line, neither source nor values."""
    return [f"{step.f_globals.get('__name__', '?')}:{line}" for step, line in traceback.walk_tb(trace)][
        -MOST_FRAMES:
    ]


def set_up_logging() -> None:
    """Send all loggers to standard error as JSON lines; called once, by a service's `main`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


@contextmanager
def without_tensorflow_noise(devices: Path = Path("/dev")) -> Iterator[bool]:
    """Leave `TENSORFLOW_NOISE` out of what native code writes to standard error while TensorFlow starts.

    All other lines are written at the end. Nothing is left out on a host with an NVIDIA device, where the same
    lines would say what is wrong, nor where the environment sets `TF_CPP_MIN_LOG_LEVEL=0`.

    Args:
        devices: The folder of the system's devices.

    Yields:
        Whether lines are left out.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0" or any(devices.glob("nvidia*")):
        yield False
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield True
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            written.seek(0)
            for line in written:
                if not TENSORFLOW_NOISE.search(line):
                    os.write(2, line)
