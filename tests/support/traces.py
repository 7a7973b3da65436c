"""Spans out of a trace file, and how they hang together."""

import json
from pathlib import Path
from typing import Any

Spans = list[dict[str, Any]]


def spans_in(path: Path) -> Spans:
    """All spans, in the order in which they began."""
    lines = path.read_text().splitlines() if path.exists() else []
    return sorted((json.loads(line) for line in lines), key=lambda span: str(span["began_at"]))


def named(spans: Spans, name: str) -> dict[str, Any]:
    """The one span of that name."""
    [found] = [span for span in spans if span["name"] == name]
    return found


def line_of(spans: Spans, span: dict[str, Any]) -> list[str]:
    """The names from a span up to the one that has no parent here."""
    by_id = {one["span_id"]: one for one in spans}
    names = [span["name"]]
    while (span := by_id.get(span["parent_id"], {})) != {}:
        names.append(span["name"])
    return names
