"""Figures for Prometheus: the service's own, and what Redis and the store tell when asked.

Labels are route templates, states, stages, outcomes and error codes: nothing that a sender could choose.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress

from prometheus_client.core import Metric

from metseg.errors import QueueUnavailableError, StoreError
from metseg.queue.dispatcher import RETRIES
from metseg.schemas.job import Priority
from metseg_api.backends import Backends
from metseg_api.metric_families import Sample, as_text, counter, gauge, plain, summary


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

    def families(self) -> list[Metric]:
        """The metrics."""
        with self._lock:
            counted = dict(self._counted)
        labelled = [
            ({"method": method, "route": route, "status": status}, told)
            for (method, route, status), told in counted.items()
        ]
        requests = [(labels, float(told[0])) for labels, told in labelled]
        seconds = [(labels, told[1]) for labels, told in labelled]
        return [
            counter("metseg_http_requests_total", "Requests answered by this process.", requests),
            counter("metseg_http_seconds_total", "Time until they were answered in full.", seconds),
        ]


def exposition(backends: Backends, http: HttpFigures, followers: int, *, loops_run: bool) -> str:
    """All metrics; what cannot be asked is left out, and `metseg_up` names the part that is missing."""
    queue, store = _of_queue(backends), _of_store(backends)
    parts = {"queue": bool(queue), "store": bool(store), "loops": loops_run}
    up = [({"part": part}, float(is_up)) for part, is_up in parts.items()]
    return as_text(
        [
            gauge("metseg_up", "Whether a part of the API or behind it works.", up),
            *queue,
            *store,
            gauge("metseg_followers", "Requests that wait or stream events here.", plain(followers)),
            *http.families(),
            *backends.webhook_figures.families(),
        ]
    )


def _of_queue(backends: Backends) -> list[Metric]:
    with suppress(QueueUnavailableError):
        line, totals, led = backends.line, backends.dispatcher.totals(), backends.holders.is_led()
        depth = [({"lane": lane.value}, float(line.depth(lane))) for lane in Priority]
        oldest = [({"lane": lane.value}, line.oldest_s(lane)) for lane in Priority]
        retries = plain(totals.get(RETRIES, 0.0))
        stages = _stages(totals, "seconds"), _stages(totals, "times")
        dice = _pairs(totals, "dice"), _pairs(totals, "compared")
        same = _pairs(totals, "same_count")
        return [
            gauge("metseg_queue_depth", "Attempts that wait for a worker.", depth),
            gauge("metseg_queue_oldest_seconds", "Wait of the one that waits longest.", oldest),
            gauge("metseg_workers_alive", "Workers that beat.", plain(line.pace().workers)),
            gauge("metseg_reconciler_leads", "Whether a reconciler leads.", plain(led)),
            counter("metseg_jobs_ended_total", "Jobs by state and error code.", _ended(totals)),
            counter("metseg_job_retries_total", "Attempts at a job after its first one.", retries),
            summary("metseg_stage_seconds", "Time in each stage of a job.", *stages),
            summary("metseg_canary_dice", "Overlap of canary and stable version on a scan.", *dice),
            counter("metseg_canary_same_count_total", "Scans on which they found as many lesions.", same),
        ]
    return []


def _of_store(backends: Backends) -> list[Metric]:
    try:
        free = backends.blobs.free_bytes()
    except StoreError:
        return []
    return [gauge("metseg_store_free_bytes", "Room left in the store.", plain(free))]


def _ended(totals: Mapping[str, float]) -> list[Sample]:
    split = [(name.split(":"), value) for name, value in sorted(totals.items()) if name.startswith("ended:")]
    return [({"state": parts[1], "code": parts[2]}, value) for parts, value in split]


def _stages(totals: Mapping[str, float], kind: str) -> list[Sample]:
    named = [(name.partition(":"), value) for name, value in sorted(totals.items())]
    return [({"stage": parts[2]}, value) for parts, value in named if parts[0] == kind]


def _pairs(totals: Mapping[str, float], kind: str) -> list[Sample]:
    split = [(name.split(":"), value) for name, value in sorted(totals.items()) if name.startswith(f"{kind}:")]
    return [({"model": parts[1], "canary": parts[2], "stable": parts[3]}, value) for parts, value in split]
