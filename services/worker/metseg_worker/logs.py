"""Log lines: one JSON object each, with ids and codes and nothing of a patient.

A field that is not in `FIELDS` is left out, and of an exception only its class and the place where it was raised
are told: a message or a local value could carry what stood in a header.
"""

import json
import logging
import sys
import time
import traceback
from pathlib import Path
from typing import Final

FIELDS: Final = (
    *("job_id", "attempt", "rq_id", "queue", "state", "code", "stage", "seconds"),
    *("slices", "lesions", "wait_status", "waited_s", "swept"),
)


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON, times in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; of a message that has several (RQ's tracebacks) the first."""
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage().split("\n", 1)[0],
        }
        line |= {field: getattr(record, field) for field in FIELDS if hasattr(record, field)}
        if record.exc_info and record.exc_info[1] is not None:
            line |= _origin(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up_logging() -> None:
    """Send all loggers to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _origin(exc: BaseException) -> dict[str, object]:
    frames = traceback.extract_tb(exc.__traceback__)
    where = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-5:]]
    return {"error": type(exc).__qualname__, "where": where}
