"""From a recipe's sources to pools of slices: where the folders are, and which cases are whose."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metseg.card import Preprocessing
from metseg.errors import InputError
from metseg_trainer.datasets import Case, choose_layout, find_cases
from metseg_trainer.pools import Pool, make_pool
from metseg_trainer.recipes import Source
from metseg_trainer.shares import Share
from metseg_trainer.slices import load_cases
from metseg_trainer.splits import build_patient_split, expect_patients_apart, read_split

Part = Literal["train", "validation"]


@dataclass(frozen=True)
class Places:
    """Folders a run reads from and keeps its prepared slices in.

    Attributes:
        data: Folder of the real images.
        phantoms: Folder of the synthetic training scans.
        splits: Folder of the committed splits.
        cache: Folder of prepared slices; may be deleted at any time.
    """

    data: Path
    phantoms: Path
    splits: Path
    cache: Path


def folder_of(source: Source, places: Places) -> Path:
    """Return the folder of a source."""
    return places.phantoms if source.folder is None else places.data / source.folder


def parts_of(source: Source, places: Places) -> dict[Part, list[Case]]:
    """List the cases of a source by part.

    Raises:
        InputError: The folder or the split is unusable, a case of the split is missing, or a patient is in two
            parts.
    """
    folder = folder_of(source, places)
    found = find_cases(folder, layout=source.layout, target=source.target)
    cases = {case.name: case for case in found}
    if source.split is None:
        split = build_patient_split(found, source.validation_patients)
    else:
        split = read_split(places.splits / f"{source.split}.json")
    missing = [name for name in (*split.train, *split.validation) if name not in cases]
    if missing:
        raise InputError(f"{folder} lacks {len(missing)} cases of the split, the first is {missing[0]}.")
    expect_patients_apart(split, cases)
    return {
        "train": [cases[name] for name in split.train],
        "validation": [cases[name] for name in split.validation],
    }


def cases_of(source: Source, places: Places, part: Part) -> list[Case]:
    """List the cases of one part of a source; see `parts_of` for what is refused."""
    return parts_of(source, places)[part]


def disease_of(source: Source, places: Places) -> str:
    """Say what the lesions of a source are: as it states, else as its layout knows, else `"not stated"`."""
    return source.disease or choose_layout(folder_of(source, places), source.layout).disease


def load_pool(source: Source, share: Share, places: Places, rules: Preprocessing, *, part: Part) -> Pool:
    """Prepare one part of a source."""
    return make_pool(load_cases(cases_of(source, places, part), rules, places.cache), share)
