"""From a recipe's sources to pools of slices: where the folders are, and which cases are whose."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metseg.card import Preprocessing
from metseg.errors import InputError
from metseg_trainer.datasets import Case, find_cases
from metseg_trainer.pipeline import Pool, make_pool
from metseg_trainer.recipes import Source
from metseg_trainer.shares import Share
from metseg_trainer.slices import load_cases
from metseg_trainer.splits import build_patient_split, read_split

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


def cases_of(source: Source, places: Places, part: Part) -> list[Case]:
    """List the cases of one part of a source.

    Raises:
        InputError: The folder or the split is unusable, or a case of the split is missing.
    """
    folder = places.phantoms if source.folder is None else places.data / source.folder
    cases = {case.name: case for case in find_cases(folder)}
    if source.split is None:
        split = build_patient_split(cases.values(), source.validation_patients)
    else:
        split = read_split(places.splits / f"{source.split}.json")
    names = split.train if part == "train" else split.validation
    missing = [name for name in names if name not in cases]
    if missing:
        raise InputError(f"{folder} lacks {len(missing)} cases of the split, the first is {missing[0]}.")
    return [cases[name] for name in names]


def load_pool(source: Source, share: Share, places: Places, rules: Preprocessing, *, part: Part) -> Pool:
    """Prepare one part of a source."""
    return make_pool(load_cases(cases_of(source, places, part), rules, places.cache), share)
