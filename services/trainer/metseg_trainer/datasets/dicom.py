"""DICOM series as training images, read by SimpleITK; what users upload is read by the worker's own reader."""

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from metseg.errors import InputError
from metseg.imaging.volume import Volume

_LPS_TO_RAS = np.diag((-1.0, -1.0, 1.0))


def read_dicom_series(path: Path) -> Volume:
    """Read the one DICOM series of a folder or a zip, classic or multi-frame, as a float32 volume.

    Raises:
        InputError: There is no series, there are several, or it cannot be read.
    """
    if path.is_dir():
        return _read_folder(path)
    with tempfile.TemporaryDirectory() as unpacked, zipfile.ZipFile(path) as archive:
        archive.extractall(unpacked)
        return _read_folder(Path(unpacked))


def _read_folder(folder: Path) -> Volume:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if not files:
        raise InputError(f"expected a DICOM series, found no file in {folder}")
    try:
        return _to_volume(sitk.ReadImage(str(files[0])) if len(files) == 1 else _read_files(folder))
    except RuntimeError as exc:
        raise InputError(f"expected a DICOM series that SimpleITK can read, got {folder}") from exc


def _read_files(folder: Path) -> sitk.Image:
    folders = sorted({file.parent for file in folder.rglob("*") if file.is_file()})
    series = [
        names
        for one in folders
        for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(one))
        if len(names := sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(one), uid)) > 1
    ]
    if len(series) != 1:
        raise InputError(f"expected one DICOM series in {folder}, found {len(series)}")
    return _read_series(series[0])


def _read_series(names: Sequence[str]) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(names)
    image: sitk.Image = reader.Execute()
    return image


def _to_volume(image: sitk.Image) -> Volume:
    array = np.ascontiguousarray(np.transpose(sitk.GetArrayFromImage(image), (2, 1, 0)), dtype=np.float32)
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = _LPS_TO_RAS @ direction @ np.diag(image.GetSpacing())
    affine[:3, 3] = _LPS_TO_RAS @ np.array(image.GetOrigin())
    return Volume(array, affine)
