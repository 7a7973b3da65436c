import gzip
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from metseg.errors import DamagedInputError, InputError
from metseg.imaging.picture import write_picture
from metseg.imaging.scan import read_scan
from metseg.inference.preprocessing import prepare
from metseg.schemas.model_card import Preprocessing
from metseg_trainer.datasets import Case, find_cases
from metseg_trainer.datasets.prepared_cases import load_cases, prepare_case

RULES = Preprocessing(size=64)


def _write_nifti(path: Path, array: np.ndarray, shift: float = 0.0) -> None:
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    affine[0, 3] = shift
    nib.save(nib.Nifti1Image(array, affine), path)


def _write_pair(folder: Path, name: str, shift: float = 0.0) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(50, 90, (40, 48, 5)).astype(np.int16)
    mask = np.zeros_like(image)
    mask[10:20, 10:20, 2] = 1
    mask[30:35, 30:35, 3] = 2
    _write_nifti(folder / f"{name}_t1c.nii.gz", image + 200 * (mask > 0).astype(np.int16))
    _write_nifti(folder / f"{name}_mask.nii.gz", mask, shift)


def test_images_and_masks_pair_by_name(write_cases, tmp_path: Path) -> None:
    cases = find_cases(write_cases(tmp_path / "set"))
    assert [case.name for case in cases] == ["case_00", "case_01", "case_02", "case_03"]
    assert cases[0].mask == tmp_path / "set" / "masks" / "case_00.png"
    assert cases[0].patient == "case_00"


def test_volumes_named_by_their_ending_pair_too(tmp_path: Path) -> None:
    _write_pair(tmp_path, "p01_pre")
    (case,) = find_cases(tmp_path)
    assert case.name == "p01_pre"
    assert case.mask.name == "p01_pre_mask.nii.gz"


def test_a_manifest_names_patients_and_classes(write_cases, tmp_path: Path) -> None:
    write_cases(tmp_path / "set", count=2)
    (tmp_path / "manifest.csv").write_text(
        "path,patient_id,label\nset/images/case_00.png,P1,glioma\nset/images/case_01.png,,\n"
    )
    one, other = find_cases(tmp_path / "set")
    assert (one.patient, one.label) == ("P1", "glioma")
    assert (other.patient, other.label) == ("case_01", None)


def test_an_image_without_a_mask_is_named(write_cases, tmp_path: Path) -> None:
    folder = write_cases(tmp_path / "set")
    (folder / "masks" / "case_02.png").unlink()
    with pytest.raises(InputError, match=r"case_02\.png has no mask"):
        find_cases(folder)


def test_a_mask_without_an_image_is_named(write_cases, tmp_path: Path) -> None:
    folder = write_cases(tmp_path / "set")
    (folder / "images" / "case_01.png").unlink()
    with pytest.raises(InputError, match=r"case_01\.png has no image"):
        find_cases(folder)


def test_one_case_in_two_formats_is_refused(write_cases, tmp_path: Path) -> None:
    folder = write_cases(tmp_path / "set")
    shutil.copy(folder / "images" / "case_01.png", folder / "images" / "case_01.tif")
    with pytest.raises(InputError, match="one case twice"):
        find_cases(folder)


def test_a_folder_of_neither_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither"):
        find_cases(tmp_path)


def test_a_mask_of_another_size_is_named(write_cases, tmp_path: Path) -> None:
    folder = write_cases(tmp_path / "set")
    write_picture(folder / "masks" / "case_03.png", np.zeros((64, 60), np.uint8))
    with pytest.raises(InputError, match=r"case_03\.png has \(64, 60, 1\) voxels"):
        prepare_case(find_cases(folder)[3], RULES)


def test_a_mask_at_another_place_is_named(tmp_path: Path) -> None:
    _write_pair(tmp_path, "p01", shift=4.0)
    with pytest.raises(InputError, match=r"p01_mask\.nii\.gz has another affine"):
        prepare_case(find_cases(tmp_path)[0], RULES)


def test_a_damaged_image_is_named_and_keeps_its_class_of_error(tmp_path: Path) -> None:
    _write_pair(tmp_path, "p01")
    path = tmp_path / "p01_t1c.nii.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:2000]))
    with pytest.raises(DamagedInputError, match="p01"):
        prepare_case(find_cases(tmp_path)[0], RULES)


def test_training_sees_what_serving_sees(tmp_path: Path) -> None:
    _write_pair(tmp_path, "p01")
    case = find_cases(tmp_path)[0]
    made, served = prepare_case(case, RULES), prepare(read_scan(case.image), RULES)
    (batch,) = served.batches(len(served.kept))
    np.testing.assert_array_equal(np.stack([made.stack(int(z)) for z in made.kept]), batch)


def test_all_labels_of_a_mask_are_lesion(tmp_path: Path) -> None:
    _write_pair(tmp_path, "p01")
    made = prepare_case(find_cases(tmp_path)[0], RULES)
    assert set(np.unique(made.mask)) == {0, 1}
    assert made.mask[2].sum() == 100
    assert made.mask[3].sum() == 25


def test_a_lone_slice_fills_all_three_channels(tmp_path: Path) -> None:
    _write_pair(tmp_path, "p01")
    made = prepare_case(find_cases(tmp_path)[0], RULES)
    stack = made.stack(2, lone=True)
    assert (stack == stack[..., 1:2]).all()
    assert not (made.stack(2) == stack).all()


def test_the_cache_gives_back_what_was_prepared_and_notices_changes(write_cases, tmp_path: Path) -> None:
    folder = write_cases(tmp_path / "set", count=1)
    cases: list[Case] = find_cases(folder)
    first, again = (load_cases(cases, RULES, tmp_path / "cache")[0] for _ in range(2))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert first.centre == again.centre
    write_picture(cases[0].mask, np.zeros((64, 64), np.uint8))
    assert load_cases(cases, RULES, tmp_path / "cache")[0].mask.sum() == 0
