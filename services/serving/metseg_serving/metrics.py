"""What the server counts and times, as a page for Prometheus with the names of TensorFlow Serving."""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from itertools import accumulate
from typing import Final, TypeVar

from metseg_serving.refusal import Refusal

MEDIA_TYPE: Final = "text/plain"
LIMITS: Final = tuple(10 * 1.8**power for power in range(33))
"""Upper limits of the buckets of a time in microseconds, some 20 minutes the last (Exponential(10, 1.8, 33))."""

_COUNTS: Final = ":tensorflow:serving:request_count"
_LOADS: Final = ":tensorflow:cc:saved_model:load_attempt_count"
_LOAD_TIMES: Final = ":tensorflow:cc:saved_model:load_latency"
_REQUEST_TIMES: Final = ":tensorflow:serving:request_latency"
_RUN_TIMES: Final = ":tensorflow:serving:runtime_latency"

Labels = tuple[tuple[str, str], ...]
T = TypeVar("T")


class Entrypoint(Enum):
    """The port of a request; the value is what TF Serving calls a prediction there."""

    GRPC = "Predict"
    REST = "predict"


class Histogram:
    """How often a time fell between which limits."""

    def __init__(self) -> None:
        self.total = 0.0
        self.buckets = [0] * (len(LIMITS) + 1)

    def add(self, value: float) -> None:
        """Count one time in microseconds."""
        self.total += value
        self.buckets[bisect_left(LIMITS, value)] += 1


class Figures:
    """Counts of one server; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, dict[Labels, int]] = {_COUNTS: {}, _LOADS: {}, _LOAD_TIMES: {}}
        self._times: dict[str, dict[Labels, Histogram]] = {_REQUEST_TIMES: {}, _RUN_TIMES: {}}

    @contextmanager
    def request(self, model: str, entrypoint: Entrypoint) -> Iterator[None]:
        """Count what is done within as one request, by its status, and time it if it succeeds.

        Args:
            model: The name that the request gives.
            entrypoint: Where it came in.
        """
        start = time.perf_counter()
        try:
            yield
        except Refusal as exc:
            self._count(_COUNTS, _labels(model_name=model, status=exc.code.name))
            raise
        self._count(_COUNTS, _labels(model_name=model, status="OK"))
        labels = _labels(model_name=model, API=entrypoint.value, entrypoint=entrypoint.name)
        self._time(_REQUEST_TIMES, labels, start)

    def run(self, model: str, call: Callable[[], T]) -> T:
        """Time one run of a graph."""
        start = time.perf_counter()
        result = call()
        self._time(_RUN_TIMES, _labels(model_name=model, API="Predict", runtime="TF1"), start)
        return result

    def loaded(self, path: str, seconds: float, *, succeeded: bool) -> None:
        """Count an attempt to load a version."""
        self._count(_LOADS, _labels(model_path=path, status="success" if succeeded else "fail"))
        self._count(_LOAD_TIMES, _labels(model_path=path), round(seconds * 1e6))

    def page(self) -> str:
        """All of them in the text format of Prometheus."""
        with self._lock:
            lines = [line for name, counts in self._counters.items() for line in _counter_lines(name, counts)]
            lines += [line for name, times in self._times.items() for line in _histogram_lines(name, times)]
        return "\n".join(lines) + "\n"

    def _count(self, name: str, labels: Labels, by: int = 1) -> None:
        with self._lock:
            counts = self._counters[name]
            counts[labels] = counts.get(labels, 0) + by

    def _time(self, name: str, labels: Labels, start: float) -> None:
        micros = (time.perf_counter() - start) * 1e6
        with self._lock:
            self._times[name].setdefault(labels, Histogram()).add(micros)


def _counter_lines(name: str, counts: Mapping[Labels, int]) -> list[str]:
    return [f"# TYPE {name} counter", *(f"{name}{{{_text(labels)}}} {count}" for labels, count in counts.items())]


def _histogram_lines(name: str, times: Mapping[Labels, Histogram]) -> Iterator[str]:
    yield f"# TYPE {name} histogram"
    for labels, histogram in times.items():
        inside = _text(labels)
        counts = list(accumulate(histogram.buckets))
        for limit, count in zip([*(f"{limit:g}" for limit in LIMITS), "+Inf"], counts, strict=True):
            yield f'{name}_bucket{{{inside},le="{limit}"}} {count}'
        yield f"{name}_sum{{{inside}}} {histogram.total:g}"
        yield f"{name}_count{{{inside}}} {counts[-1]}"


def _labels(**labels: str) -> Labels:
    return tuple(labels.items())


def _text(labels: Labels) -> str:
    """Labels as they stand between braces; senders choose the names of models, so they are escaped."""
    escaped = (
        (name, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")) for name, value in labels
    )
    return ",".join(f'{name}="{value}"' for name, value in escaped)
