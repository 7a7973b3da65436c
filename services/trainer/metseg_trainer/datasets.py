"""Folders of images and masks, as lists of cases.

Two layouts are read, and told apart by what is there:

    folder/images/<case>.<ending>  and  folder/masks/<case>.<ending>     pictures or NIfTI
    folder/<case>_t1c.nii.gz       and  folder/<case>_mask.nii.gz

Every value of a mask above 0 is lesion. A `manifest.csv` in the folder or its parent may name each image's patient
and class (columns `path`, `patient_id`, `label`); a case without a named patient is a patient of its own.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from metseg.errors import InputError

_ENDINGS = (".nii.gz", ".nii", ".png", ".jpg", ".jpeg", ".tif", ".tiff")
_IMAGE_ENDING = "_t1c.nii.gz"
_MASK_ENDING = "_mask.nii.gz"


@dataclass(frozen=True)
class Case:
    """One image with its mask.

    Attributes:
        name: The file's name without its ending; unique within its folder.
        patient: Cases of one patient share this name and never part in a split.
        label: The class of the lesion where a manifest names it.
    """

    name: str
    patient: str
    image: Path
    mask: Path
    label: str | None = None


def find_cases(folder: Path) -> list[Case]:
    """List the cases of a folder, ordered by name.

    Raises:
        InputError: The folder has neither layout, is empty, or an image and its mask do not pair up.
    """
    if (folder / "images").is_dir():
        images = _by_stem((folder / "images").iterdir())
        masks = _by_stem((folder / "masks").iterdir()) if (folder / "masks").is_dir() else {}
    else:
        images = {p.name.removesuffix(_IMAGE_ENDING): p for p in folder.glob(f"*{_IMAGE_ENDING}")}
        masks = {p.name.removesuffix(_MASK_ENDING): p for p in folder.glob(f"*{_MASK_ENDING}")}
    if not images:
        raise InputError(f"{folder} holds neither images/ and masks/ nor files named *{_IMAGE_ENDING}.")
    for name in sorted(images.keys() ^ masks.keys()):
        here, lacking = (images[name], "mask") if name in images else (masks[name], "image")
        raise InputError(f"{here} has no {lacking} of the same name.")
    manifest = _read_manifest(folder)
    return [_case(name, images[name], masks[name], manifest) for name in sorted(images)]


def _case(name: str, image: Path, mask: Path, manifest: Mapping[Path, Mapping[str, str]]) -> Case:
    row = manifest.get(image, {})
    return Case(name, row.get("patient_id") or name, image, mask, row.get("label") or None)


def _by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(paths):
        ending = next((e for e in _ENDINGS if path.name.lower().endswith(e)), None)
        if ending is None or path.name.startswith("."):
            continue
        stem = path.name[: -len(ending)]
        if stem in found:
            raise InputError(f"{path} and {found[stem]} are one case twice.")
        found[stem] = path
    return found


def _read_manifest(folder: Path) -> dict[Path, dict[str, str]]:
    for root in (folder, folder.parent):
        path = root / "manifest.csv"
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            if rows and "path" not in rows[0]:
                raise InputError(f"{path} has no column named path.")
            return {root / row["path"]: row for row in rows}
    return {}
