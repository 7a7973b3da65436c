"""Which cases train and which are kept apart: drawn by patient, or as a committed list.

A split never parts the cases of one patient. The Cheng slices run patient by patient inside a class, but patients
are not named: whole blocks of neighbouring numbers are kept apart, with a gap between them and the training
slices.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metseg.errors import InputError, RequestError
from metseg_trainer.datasets import Case

VALIDATION_SHARE = 0.15
GAP = 10
PATIENT_SEED = 0
"""Draws the patients that are kept for validation where no other seed is named."""

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


def draw_patients(cases: Iterable[Case], share: float, seed: int) -> tuple[str, ...]:
    """Draw the patients to keep for validation, from each class of lesion alike; `build_patient_split` takes them.

    Args:
        cases: Of one data set.
        share: Of the patients, 0 to 1; where it is not 0 and there are two patients, one is kept and one trains.
        seed: Equal seeds draw equal patients, whatever the order of the cases.

    Returns:
        Their names in order.

    Raises:
        RequestError: The share is not below 1, or keeps a patient where there is one alone.
    """
    if not 0 <= share < 1:
        raise RequestError(f"expected a share for validation from 0 to below 1, got {share:g}")
    classes: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        classes[case.patient].add(case.label or "")
    wanted = _wanted(len(classes), share)
    strata: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(classes):
        strata["+".join(sorted(classes[patient]))].append(patient)
    rng = np.random.default_rng(seed)
    # A patient's place in its class, 0 to 1: taking the lowest places takes from every class alike.
    places: list[tuple[float, str]] = []
    for name in sorted(strata):
        order = rng.permutation(len(strata[name]))
        shifted = (order + rng.random()) / len(order)
        places += [(float(place), patient) for place, patient in zip(shifted, strata[name], strict=True)]
    return tuple(sorted(patient for _, patient in sorted(places)[:wanted]))


def expect_patients_apart(split: Split, cases: Mapping[str, Case]) -> None:
    """Stop where one patient has cases in two parts of a split.

    Raises:
        InputError: The message names a file on each side.
    """
    seen: dict[str, tuple[str, Case]] = {}
    for part, names in (("train", split.train), ("validation", split.validation)):
        for case in (cases[name] for name in names if name in cases):
            other, first = seen.setdefault(case.patient, (part, case))
            if other != part:
                raise InputError(
                    f"patient {case.patient} is in two parts of the split: {first.image} in {other}, "
                    f"{case.image} in {part}."
                )


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


def write_split(path: Path, split: Split, *, dataset: str, rule: str = RULE) -> None:
    """Write a split as it is committed; `rule` says in words how it came about."""
    content = {
        "dataset": dataset,
        "rule": rule,
        "train": split.train,
        "validation": split.validation,
        "dropped": split.dropped,
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def split_digest(path: Path) -> str:
    """Return the SHA-256 of a split's file, as it stands in the model card."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _wanted(patients: int, share: float) -> int:
    if share == 0:
        return 0
    if patients < 2:
        raise RequestError(f"expected two patients or more to keep some for validation, got {patients}")
    return min(max(round(share * patients), 1), patients - 1)
