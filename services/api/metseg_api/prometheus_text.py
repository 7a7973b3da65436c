"""The text format of Prometheus, version 0.0.4."""

from collections.abc import Iterable, Mapping

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Mapping[str, str], float]
"""Labels and a value."""


def metric(name: str, kind: str, told: str, values: Iterable[Sample]) -> list[str]:
    """The lines of a metric: what it is, and its samples."""
    return [f"# HELP {name} {told}", f"# TYPE {name} {kind}", *samples(name, values)]


def samples(name: str, values: Iterable[Sample]) -> list[str]:
    """The lines of samples alone, as of the parts of a summary."""
    return [f"{name}{_labels(labels)} {value!r}" for labels, value in values]


def plain(value: float | None) -> list[Sample]:
    """A sample without labels; none where there is no value."""
    return [] if value is None else [({}, float(value))]


def _labels(labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""
