"""Names that scanners and technicians give MR series of the head, and what the worker takes each for.

The names in `series_names.csv` are real, of Siemens, GE, Philips and Canon; type, times and image type beside a
name are those that its kind of series usually has. The rules of `metseg_worker.readers.dicom.weighting` were
written with
this table at hand. The names in `series_names_unseen.csv`, mostly of a study of many hospitals, were gathered when
the rules stood, and no rule was changed for them.
"""

import csv
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from metseg_worker.readers.dicom.headers import TEXTS
from metseg_worker.readers.dicom.weighting import Weighting, has_agent, is_reformat, weighting_of

TABLE: Final = Path(__file__).with_name("series_names.csv")
UNSEEN: Final = Path(__file__).with_name("series_names_unseen.csv")
KINDS: Final[tuple[str, ...]] = ("T1 with agent", "T1 without agent", "T1", "T1 reformat", "other", "unknown")
AGENTS: Final = {"yes": True, "no": False, "unknown": None}
TIMES: Final = {"RepetitionTime": "repetition_ms", "EchoTime": "echo_ms", "InversionTime": "inversion_ms"}


@dataclass(frozen=True)
class NamedSeries:
    """A row of the table.

    Attributes:
        name: Its SeriesDescription.
        kind: What it is, of `KINDS`.
        texts: Its header, as `weighting_of` takes it.
        times_ms: Its times, likewise.
    """

    name: str
    kind: str
    texts: Mapping[str, str]
    times_ms: Mapping[str, float]

    @property
    def name_alone(self) -> Mapping[str, str]:
        """The header with nothing but the name."""
        return header_of(self.name)


def read_names() -> list[NamedSeries]:
    """Read the table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return [_series(row) for row in csv.DictReader(file)]


def read_unseen() -> list[tuple[Weighting, str]]:
    """Read the weightings and names that no rule was written for."""
    with UNSEEN.open(encoding="utf-8", newline="") as file:
        return [(Weighting(row["weighting"]), row["description"]) for row in csv.DictReader(file)]


def header_of(name: str) -> Mapping[str, str]:
    """Return a header that has nothing but a SeriesDescription."""
    return dict.fromkeys(TEXTS, "") | {"SeriesDescription": _plain(name)}


def kind_of(texts: Mapping[str, str], times_ms: Mapping[str, float]) -> str:
    """Return what the worker takes a header for, of `KINDS`."""
    return _kind(weighting_of(texts, times_ms), is_reformat(texts), has_agent(texts))


def print_confusion() -> None:
    """Print how many series of each kind were taken for which, by the whole header and by the name alone."""
    names = read_names()
    by_header = Counter((one.kind, kind_of(one.texts, one.times_ms)) for one in names)
    by_name = Counter((one.kind, kind_of(one.name_alone, {})) for one in names)
    unseen = Counter((str(kind), str(weighting_of(header_of(name), {}))) for kind, name in read_unseen())
    _print_counts("series, by header", by_header, KINDS)
    _print_counts("series, by name alone", by_name, KINDS)
    _print_counts("unseen names, alone", unseen, tuple(map(str, Weighting)))


def _print_counts(title: str, counts: Mapping[tuple[str, str], int], kinds: Sequence[str]) -> None:
    sys.stdout.write(f"\n{title:32}" + "".join(f"{kind:>18}" for kind in kinds) + "\n")
    for kind in kinds:
        if kind != Weighting.UNKNOWN:
            sys.stdout.write(f"  {kind:30}" + "".join(f"{counts[kind, taken]:18}" for taken in kinds) + "\n")


def _series(row: Mapping[str, str]) -> NamedSeries:
    columns = {
        "SeriesDescription": "description",
        "ScanningSequence": "scanning_sequence",
        "SequenceName": "sequence_name",
        "ImageType": "image_type",
    }
    known = {name: row[column] for name, column in columns.items()}
    texts = {name: _plain(known.get(name, "")) for name in TEXTS}
    times_ms = {name: float(row[column]) for name, column in TIMES.items() if row[column]}
    kind = _kind(Weighting(row["weighting"]), row["view"] == "reformat", AGENTS[row["agent"]])
    return NamedSeries(row["description"], kind, texts, times_ms)


def _plain(text: str) -> str:
    return text.lower().replace("\\", " ").replace("_", " ")


def _kind(weighting: Weighting, reformatted: bool, agent: bool | None) -> str:
    if weighting is not Weighting.T1:
        return str(weighting)
    if reformatted:
        return "T1 reformat"
    return {True: "T1 with agent", False: "T1 without agent", None: "T1"}[agent]
