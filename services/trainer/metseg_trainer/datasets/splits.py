"""Which cases train and which are kept apart: drawn by patient, or as a committed list of folds.

A split never parts the cases of one patient.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metseg.errors import InputError, RequestError
from metseg_trainer.datasets import Case

PATIENT_SEED = 0
"""Draws the patients that are kept for validation where no other seed is named."""

Folds = tuple[tuple[str, ...], ...]
"""Names of cases; each case of a data set stands in one fold, all cases of a patient in the same one."""


@dataclass(frozen=True)
class Split:
    """Names of cases; no name stands in both lists."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


def build_folds(cases: Iterable[Case], strata: Mapping[str, str], count: int, seed: int) -> Folds:
    """Deal patients out to folds, stratum by stratum, so that each fold has nearly the same share of each.

    Args:
        cases: Of one data set.
        strata: By case, what should be spread evenly; a patient belongs where most of its cases do.
        count: Number of folds, 2 or more.
        seed: Equal seeds give equal folds, whatever the order of the cases.

    Raises:
        RequestError: There are fewer patients than folds.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        names[case.patient].append(case.name)
    if not 2 <= count <= len(names):
        raise RequestError(f"expected from 2 to {len(names)} folds, one patient or more in each, got {count}")
    members: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(names):
        most_common = Counter(strata[name] for name in sorted(names[patient])).most_common(1)[0][0]
        members[most_common].append(patient)
    rng = np.random.default_rng(seed)
    dealt = [members[stratum][i] for stratum in sorted(members) for i in rng.permutation(len(members[stratum]))]
    folds = [sorted(name for patient in dealt[k::count] for name in names[patient]) for k in range(count)]
    return tuple(tuple(fold) for fold in folds)


def split_of_folds(folds: Folds, kept: int) -> Split:
    """Keep one fold for validation and train on all others.

    Raises:
        RequestError: There is no such fold.
    """
    if not 0 <= kept < len(folds):
        raise RequestError(f"expected a fold from 0 to {len(folds) - 1}, got {kept}")
    others = (name for number, fold in enumerate(folds) if number != kept for name in fold)
    return Split(tuple(sorted(others)), folds[kept])


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


def read_folds(path: Path) -> Folds:
    """Read committed folds.

    Raises:
        InputError: The file holds no folds, or a case stands in it twice.
    """
    try:
        folds = tuple(tuple(str(name) for name in fold) for fold in json.loads(path.read_bytes())["folds"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(
            f"{path} holds no split: a JSON object with folds, each a list of names of cases."
        ) from exc
    names = [name for fold in folds for name in fold]
    if len(names) != len(set(names)):
        raise InputError(f"{path} holds a case twice.")
    return folds


def write_folds(path: Path, folds: Folds, *, dataset: str, rule: str) -> None:
    """Write folds as they are committed; `rule` says in words how they came about."""
    content = {"dataset": dataset, "rule": rule, "folds": folds}
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
