"""Metrics with their samples, as prometheus-client writes them."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Mapping[str, str], float]
"""Labels and a value."""


def gauge(name: str, told: str, values: Iterable[Sample]) -> Metric:
    """A value that rises and falls."""
    return _filled(GaugeMetricFamily(name, told), name, values)


def counter(name: str, told: str, values: Iterable[Sample]) -> Metric:
    """A count that only rises; its name ends in `_total`."""
    return _filled(CounterMetricFamily(name, told), name, values)


def summary(name: str, told: str, sums: Iterable[Sample], counts: Iterable[Sample]) -> Metric:
    """The sum and the number of what was observed."""
    family = SummaryMetricFamily(name, told)
    _filled(family, f"{name}_sum", sums)
    return _filled(family, f"{name}_count", counts)


def plain(value: float | None) -> list[Sample]:
    """A sample without labels; none where there is no value."""
    return [] if value is None else [({}, float(value))]


def as_text(families: Iterable[Metric]) -> str:
    """All metrics in the text format, version 0.0.4."""
    registry = CollectorRegistry()
    registry.register(_Collected(families))
    return generate_latest(registry).decode("utf-8")


class _Collected(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand: this is collected once."""
        return []

    def collect(self) -> Iterable[Metric]:
        return self._families


def _filled(family: Metric, name: str, values: Iterable[Sample]) -> Metric:
    for labels, value in values:
        family.add_sample(name, dict(labels), value)
    return family
