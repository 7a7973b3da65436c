"""Scans that are known to show no lesion: NIfTI files and DICOM series, without masks.

    folder/<case>.nii.gz   folder/<case>.zip (one DICOM series)   folder/*.dcm (one DICOM series)

They teach a network what not to mark, and count its false lesions.
"""

from pathlib import Path

from metseg.errors import InputError
from metseg_trainer.datasets.cases import Case
from metseg_trainer.datasets.folders import patient_of, read_manifest
from metseg_trainer.datasets.labels import Labelling

LESION_FREE = "lesion-free"

_ENDINGS = (".nii.gz", ".nii", ".zip")


def holds_lesion_free(folder: Path) -> bool:  # noqa: ARG001
    """Return False: that a scan shows no lesion cannot be seen from its folder, it has to be stated."""
    return False


def find_lesion_free(folder: Path, labelling: Labelling) -> list[Case]:
    """List the scans of a folder, ordered by name.

    Raises:
        InputError: The folder holds no scan.
    """
    manifest = read_manifest(folder)
    if any(folder.glob("*.dcm")):
        return [_case(folder.name, folder, labelling, folder.name)]
    found = {_stem(path): path for path in sorted(folder.iterdir()) if _stem(path)}
    if not found:
        raise InputError(f"{folder} holds neither NIfTI files, nor zips, nor *.dcm of DICOM series.")
    return [
        _case(name, path, labelling, patient_of(manifest.get(path, {})) or name) for name, path in found.items()
    ]


def _case(name: str, image: Path, labelling: Labelling, patient: str) -> Case:
    return Case(name, patient, image, None, layout=LESION_FREE, labelling=labelling)


def _stem(path: Path) -> str:
    ending = next((ending for ending in _ENDINGS if path.name.lower().endswith(ending)), "")
    return path.name.removesuffix(ending) if ending else ""
