"""Figures for Prometheus: the service's own, and what Redis and the store tell when asked.

Labels are route templates, states, stages, outcomes and error codes: nothing that a sender could choose.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress

from metseg.errors import QueueUnavailableError, StoreError
from metseg.queue.dispatcher import RETRIES
from metseg.schemas.job import Priority
from metseg_api.backends import Backends
from metseg_api.prometheus_text import Sample, metric, plain, samples


class HttpFigures:
    """Counts the requests of one process; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[tuple[str, str, str], tuple[int, float]] = {}

    def count(self, method: str, route: str | None, status: int, duration_s: float) -> None:
        """Count a request that was answered; `route` is the template of its path."""
        key = method, route or "none", str(status)
        with self._lock:
            requests, seconds = self._counted.get(key, (0, 0.0))
            self._counted[key] = requests + 1, seconds + duration_s

    def lines(self) -> list[str]:
        """The metrics as lines of text."""
        with self._lock:
            counted = dict(self._counted)
        labelled = [
            ({"method": method, "route": route, "status": status}, told)
            for (method, route, status), told in counted.items()
        ]
        requests = [(labels, float(told[0])) for labels, told in labelled]
        seconds = [(labels, told[1]) for labels, told in labelled]
        return [
            *metric("metseg_http_requests_total", "counter", "Requests answered by this process.", requests),
            *metric("metseg_http_seconds_total", "counter", "Time until they were answered in full.", seconds),
        ]


def exposition(backends: Backends, http: HttpFigures, followers: int, *, loops_run: bool) -> str:
    """All metrics; what cannot be asked is left out, and `metseg_up` tells of which part that is."""
    queue, store = _queue_lines(backends), _store_lines(backends)
    parts = {"queue": bool(queue), "store": store is not None, "loops": loops_run}
    up = [({"part": part}, float(is_up)) for part, is_up in parts.items()]
    lines = [
        *metric("metseg_up", "gauge", "Whether a part of the API or behind it works.", up),
        *queue,
        *(store or []),
        *metric(
            "metseg_followers", "gauge", "Requests that wait or stream events here.", [({}, float(followers))]
        ),
        *http.lines(),
        *backends.webhook_figures.lines(),
    ]
    return "\n".join(lines) + "\n"


def _queue_lines(backends: Backends) -> list[str]:
    with suppress(QueueUnavailableError):
        line, totals, led = backends.line, backends.dispatcher.totals(), backends.holders.is_led()
        depth = [({"lane": lane.value}, float(line.depth(lane))) for lane in Priority]
        oldest = [({"lane": lane.value}, line.oldest_s(lane)) for lane in Priority]
        return [
            *metric("metseg_queue_depth", "gauge", "Attempts that wait for a worker.", depth),
            *metric("metseg_queue_oldest_seconds", "gauge", "Wait of the one that waits longest.", oldest),
            *metric("metseg_workers_alive", "gauge", "Workers that beat.", plain(line.pace().workers)),
            *metric("metseg_reconciler_leads", "gauge", "Whether a reconciler leads.", plain(led)),
            *metric("metseg_jobs_ended_total", "counter", "Jobs by state and error code.", _ended(totals)),
            *metric(
                "metseg_job_retries_total",
                "counter",
                "Attempts at a job after its first one.",
                plain(totals.get(RETRIES, 0.0)),
            ),
            *metric("metseg_stage_seconds", "summary", "Time in each stage of a job.", ()),
            *samples("metseg_stage_seconds_sum", _stages(totals, "seconds")),
            *samples("metseg_stage_seconds_count", _stages(totals, "times")),
            *metric("metseg_canary_dice", "summary", "Overlap of canary and stable version on a scan.", ()),
            *samples("metseg_canary_dice_sum", _pairs(totals, "dice")),
            *samples("metseg_canary_dice_count", _pairs(totals, "compared")),
            *metric(
                "metseg_canary_same_count_total",
                "counter",
                "Scans on which they found as many lesions.",
                _pairs(totals, "same_count"),
            ),
        ]
    return []


def _store_lines(backends: Backends) -> list[str] | None:
    try:
        free = backends.blobs.free_bytes()
    except StoreError:
        return None
    return metric("metseg_store_free_bytes", "gauge", "Room left in the store.", plain(free))


def _ended(totals: Mapping[str, float]) -> list[Sample]:
    split = [(name.split(":"), value) for name, value in sorted(totals.items()) if name.startswith("ended:")]
    return [({"state": parts[1], "code": parts[2]}, value) for parts, value in split]


def _stages(totals: Mapping[str, float], kind: str) -> list[Sample]:
    named = [(name.partition(":"), value) for name, value in sorted(totals.items())]
    return [({"stage": parts[2]}, value) for parts, value in named if parts[0] == kind]


def _pairs(totals: Mapping[str, float], kind: str) -> list[Sample]:
    split = [(name.split(":"), value) for name, value in sorted(totals.items()) if name.startswith(f"{kind}:")]
    return [({"model": parts[1], "canary": parts[2], "stable": parts[3]}, value) for parts, value in split]
