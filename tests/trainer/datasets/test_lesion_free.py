import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from metseg.errors import InputError
from metseg_trainer.datasets import find_cases, read_image, read_mask
from metseg_trainer.datasets.lesion_free import LESION_FREE
from metseg_trainer.recipes.recipe import Source
from metseg_trainer.training_data.manifest import build_manifest
from metseg_trainer.training_data.sources import Paths, parts_of


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(3):
        array = np.full((24, 24, 4), number + 1, np.float32)
        nib.save(nib.Nifti1Image(array, np.diag((1.0, 1.0, 3.0, 1.0))), folder / f"scan_{number}.nii.gz")
    (folder / "manifest.csv").write_text(
        "path,patient_id\nscan_0.nii.gz,a\nscan_1.nii.gz,a\nscan_2.nii.gz,b\n", encoding="utf-8"
    )
    return folder


def test_a_scan_without_lesions_has_an_empty_mask_on_its_own_grid(scans: Path) -> None:
    cases = find_cases(scans, layout=LESION_FREE)
    assert [(case.name, case.patient, case.mask) for case in cases] == [
        ("scan_0", "a", None),
        ("scan_1", "a", None),
        ("scan_2", "b", None),
    ]
    mask = read_mask(cases[0])
    assert (mask.shape, mask.array.any(), mask.spacing_mm) == ((24, 24, 4), False, (1.0, 1.0, 3.0))


def test_its_patients_part_and_its_manifest_lists_no_mask(scans: Path, tmp_path: Path) -> None:
    source = Source("scans", "scans", layout=LESION_FREE, validation_patients=("b",))
    places = Paths(tmp_path, tmp_path, tmp_path, tmp_path / "cache")
    assert [len(cases) for cases in parts_of(source, places).values()] == [2, 1]
    assert {case.mask for case in build_manifest(source, places).cases} == {None}


def test_a_folder_without_scans_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither NIfTI files"):
        find_cases(tmp_path, layout=LESION_FREE)


def test_a_zip_without_a_series_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "scan.zip", "w") as archive:
        archive.writestr("readme.txt", "no series")
        archive.writestr("notes.txt", "none either")
    (case,) = find_cases(tmp_path, layout=LESION_FREE)
    with pytest.raises(InputError, match="DICOM series"):
        read_image(case)


@pytest.mark.parametrize(
    ("folder", "name", "shape"),
    [
        ("healthy_t1_dicom", "siemens_xa30_t1_3d", (96, 128, 128)),
        ("healthy_t1_dicom", "siemens_t1_sagittal_supine", (35, 256, 256)),
        ("dicom_t1_head", "dicom_t1_head", (274, 384, 64)),
    ],
)
def test_real_series_are_read_upright(
    real_images: Path, folder: str, name: str, shape: tuple[int, int, int]
) -> None:
    cases = {case.name: case for case in find_cases(real_images / folder, layout=LESION_FREE)}
    upright = read_image(cases[name]).volume.to_ras()
    assert upright.shape == shape
    assert upright.array.max() > 0
