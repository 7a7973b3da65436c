"""JSON log lines that cannot carry a patient's data: an allow-list of fields, no exception texts."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType

FIELDS = (
    "request_id",
    "job_id",
    "method",
    "route",
    "status",
    "duration_ms",
    "code",
    "error",
    "frames",
    "size_bytes",
)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message and the allowed `extra` fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record; of an exception only its class and the places it passed."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {field: record.__dict__[field] for field in FIELDS if field in record.__dict__}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            line["frames"] = frames(record.exc_info[2])
        return json.dumps(line)


def frames(trace: TracebackType | None) -> list[str]:
    """The places an exception passed, innermost last: module and line, neither source nor values."""
    return [f"{step.f_globals.get('__name__', '?')}:{line}" for step, line in traceback.walk_tb(trace)][-12:]


def configure_logging() -> None:
    """Send everything to standard output as JSON; called once, by `main`."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # The form parser quotes bytes of the upload in its warnings.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
