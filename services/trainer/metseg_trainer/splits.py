"""Which cases train and which are kept apart, as a committed list.

The Cheng slices run patient by patient inside a class, but patients are not named: whole blocks of neighbouring
numbers are kept apart, with a gap between them and the training slices.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from metseg.errors import InputError
from metseg_trainer.datasets import Case

VALIDATION_SHARE = 0.15
GAP = 10
RULE = (
    f"Within each class, ordered by number: the last {VALIDATION_SHARE:.0%} (rounded) are validation, "
    f"the {GAP} before them are dropped, the rest are training."
)


@dataclass(frozen=True)
class Split:
    """Names of cases; no name stands in two lists."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    dropped: tuple[str, ...] = ()


def build_block_split(cases: Iterable[Case]) -> Split:
    """Split cases by contiguous blocks of each class; see `RULE`."""
    classes: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        classes[case.label or ""].append(case.name)
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for names in classes.values():
        names.sort()
        first = len(names) - round(VALIDATION_SHARE * len(names))
        parts[0].extend(names[: first - GAP])
        parts[1].extend(names[first:])
        parts[2].extend(names[first - GAP : first])
    return Split(*(tuple(sorted(part)) for part in parts))


def build_patient_split(cases: Iterable[Case], validation_patients: Iterable[str]) -> Split:
    """Keep the named patients for validation and train on all others."""
    kept = frozenset(validation_patients)
    train: list[str] = []
    validation: list[str] = []
    for case in cases:
        (validation if case.patient in kept else train).append(case.name)
    return Split(tuple(train), tuple(validation))


def read_split(path: Path) -> Split:
    """Read a committed split.

    Raises:
        InputError: The file is no split, or a case stands in two of its lists.
    """
    try:
        lists = json.loads(path.read_text(encoding="utf-8"))
        split = Split(tuple(lists["train"]), tuple(lists["validation"]), tuple(lists.get("dropped", ())))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(f"{path} is no split: a JSON object with train, validation and dropped.") from exc
    names = [*split.train, *split.validation, *split.dropped]
    if len(names) != len(set(names)):
        raise InputError(f"{path} holds a case twice.")
    return split


def write_split(path: Path, split: Split, *, dataset: str) -> None:
    """Write a split as it is committed."""
    content = {
        "dataset": dataset,
        "rule": RULE,
        "train": split.train,
        "validation": split.validation,
        "dropped": split.dropped,
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def split_digest(path: Path) -> str:
    """Return the SHA-256 of a split's file, as it stands in the model card."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
