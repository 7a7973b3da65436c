"""Counts what becomes of webhooks, for Prometheus."""

import threading
from collections import Counter
from datetime import UTC, datetime

from prometheus_client.core import Metric

from metseg_api.metric_families import counter, plain, summary
from metseg_api.webhooks.deliveries import Outcome, is_last


class WebhookFigures:
    """Counts the attempts that one process has ended; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: Counter[Outcome] = Counter()
        self._repeated = self._given_up = 0
        self._delay_s = 0.0

    def count(self, number: int, outcome: Outcome, status: int | None, job_ended_at: datetime) -> None:
        """Count an attempt that has just ended.

        Args:
            number: Which of its job it was, from 1.
            outcome: How it ended.
            status: The receiver's, where it answered.
            job_ended_at: When there was something to tell.
        """
        with self._lock:
            self._ended[outcome] += 1
            self._repeated += number > 1
            if outcome is Outcome.DELIVERED:
                self._delay_s += (datetime.now(UTC) - job_ended_at).total_seconds()
            elif is_last(number, status):
                self._given_up += 1

    def families(self) -> list[Metric]:
        """The metrics; all are there from the beginning, so that the first event is a change."""
        with self._lock:
            by_outcome = [({"outcome": one.value}, float(self._ended[one])) for one in Outcome]
            delivered = self._ended[Outcome.DELIVERED]
            repeated, given_up, delay_s = self._repeated, self._given_up, self._delay_s
        delay = plain(delay_s), plain(delivered)
        return [
            counter("metseg_webhook_attempts_total", "Attempts by how they ended.", by_outcome),
            counter("metseg_webhook_retries_total", "Those after a job's first.", plain(repeated)),
            counter("metseg_webhooks_given_up_total", "Ends of jobs left untold.", plain(given_up)),
            summary("metseg_webhook_delay_seconds", "From a job's end until it was told.", *delay),
        ]
