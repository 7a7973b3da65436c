"""One's own images and masks, paired by name, and the project's synthetic scans.

    folder/images/<case>.<ending>  and  folder/masks/<case>.<ending>     pictures or NIfTI
    folder/<case>_t1c.nii.gz       and  folder/<case>_mask.nii.gz

A `slices.csv` or `manifest.csv` in the folder or its parent may describe each image (columns `path`,
`patient_group` or `patient_id`, `label`, `plane`); a case without a named patient is a patient of its own.
"""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from metseg.errors import InputError
from metseg_trainer.datasets.cases import Case
from metseg_trainer.datasets.labels import Labelling
from metseg_trainer.datasets.synthetic import PHANTOM_LAYOUT

MANIFESTS = ("slices.csv", "manifest.csv")
"""Names of the files that describe images, the first one that is there being read."""

_ENDINGS = (".nii.gz", ".nii", ".png", ".jpg", ".jpeg", ".tif", ".tiff")
_IMAGE_ENDING = "_t1c.nii.gz"
_MASK_ENDING = "_mask.nii.gz"


def holds_phantoms(folder: Path) -> bool:
    """Whether the folder holds synthetic scans: images, masks and the truth that only a phantom has."""
    return (folder / "images").is_dir() and (folder / "truth").is_dir()


def holds_pairs(folder: Path) -> bool:
    """Whether the folder holds images of one's own, and no synthetic ones."""
    if (folder / "images").is_dir():
        return not (folder / "truth").is_dir()
    return any(folder.glob(f"*{_IMAGE_ENDING}"))


def find_phantoms(folder: Path, labelling: Labelling) -> list[Case]:
    """List the synthetic scans of a folder, ordered by name."""
    return _find(folder, labelling, PHANTOM_LAYOUT)


def find_pairs(folder: Path, labelling: Labelling) -> list[Case]:
    """List the pairs of a folder, ordered by name.

    Raises:
        InputError: The folder is empty, or an image and its mask do not pair up.
    """
    return _find(folder, labelling, "folder")


def _find(folder: Path, labelling: Labelling, layout: str) -> list[Case]:
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
    manifest = read_manifest(folder)
    rows = {name: manifest.get(images[name], {}) for name in images}
    return [
        Case(
            name,
            patient_of(rows[name]) or name,
            images[name],
            masks[name],
            rows[name].get("label") or None,
            layout=layout,
            labelling=labelling,
            plane=rows[name].get("plane") or None,
        )
        for name in sorted(images)
    ]


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


def read_manifest(folder: Path) -> Mapping[Path, Mapping[str, str]]:
    """Read what is known of the images of a folder, by path; empty where nothing is.

    Raises:
        InputError: A manifest has no column named path.
    """
    for root in (folder, folder.parent):
        for path in (root / name for name in MANIFESTS):
            if path.is_file():
                return _rows_by_path(path)
    return {}


def patient_of(row: Mapping[str, str]) -> str | None:
    """Return the name that all images of one patient share, where a manifest's row has one."""
    return row.get("patient_group") or row.get("patient_id") or None


def _rows_by_path(manifest: Path) -> Mapping[Path, Mapping[str, str]]:
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and "path" not in rows[0]:
        raise InputError(f"{manifest} has no column named path.")
    return {manifest.parent / row["path"]: row for row in rows}
