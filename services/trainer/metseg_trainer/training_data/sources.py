"""From a recipe's sources to pools of slices: where the folders are, and which cases are whose."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from metseg.errors import InputError
from metseg.schemas.model_card import Preprocessing
from metseg_trainer.batches.sampling import Pool, make_pool
from metseg_trainer.batches.shares import Share
from metseg_trainer.datasets import Case, choose_layout, find_cases
from metseg_trainer.datasets.enhancement import FEW, enhancing_share
from metseg_trainer.datasets.prepared_cases import PreparedCase, load_cases
from metseg_trainer.datasets.splits import build_patient_split, expect_patients_apart, read_folds, split_of_folds
from metseg_trainer.recipes.recipe import Source

Part = Literal["train", "validation"]


@dataclass(frozen=True)
class Paths:
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


def folder_of(source: Source, places: Paths) -> Path:
    """Return the folder of a source."""
    return places.phantoms if source.folder is None else places.data / source.folder


def parts_of(source: Source, places: Paths) -> dict[Part, list[Case]]:
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
        split = split_of_folds(read_folds(places.splits / f"{source.split}.json"), source.fold)
    missing = [name for name in (*split.train, *split.validation) if name not in cases]
    if missing:
        raise InputError(f"{folder} lacks {len(missing)} cases of the split, the first is {missing[0]}.")
    expect_patients_apart(split, cases)
    kept = [cases[name] for name in split.validation]
    return {
        "train": [cases[name] for name in split.train],
        "validation": [case for case in kept if source.plane is None or case.plane in (None, source.plane)],
    }


def cases_of(source: Source, places: Paths, part: Part) -> list[Case]:
    """List the cases of one part of a source; see `parts_of` for what is refused."""
    return parts_of(source, places)[part]


def disease_of(source: Source, places: Paths) -> str:
    """Say what the lesions of a source are: as it states, else as its layout knows, else `"not stated"`."""
    return source.disease or choose_layout(folder_of(source, places), source.layout).disease


def load_pool(source: Source, share: Share, places: Paths, rules: Preprocessing, *, part: Part) -> Pool:
    """Prepare one part of a source, with the classes of its lesions."""
    cases = cases_of(source, places, part)
    made = load_cases(cases, rules, places.cache)
    classes = [lesion_class(source, *pair) for pair in zip(cases, made, strict=True)]
    return make_pool([replace(one, lesion_class=number) for one, number in zip(made, classes, strict=True)], share)


def lesion_class(source: Source, case: Case, made: PreparedCase) -> int:
    """Return the class that a source gives to the lesions of one of its cases."""
    number = dict(source.label_classes).get(case.label or "", 1)
    if source.non_enhancing_class is None or number != 1 or len(made.pixels) > 1:
        return number
    enhances = enhancing_share(made.pixels[0], made.mask[0]) >= FEW
    return number if enhances else source.non_enhancing_class
