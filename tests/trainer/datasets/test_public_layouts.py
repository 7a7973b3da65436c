"""Synthetic copies of public data sets, read from their native folders up to a batch; and what stops a run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest

from metseg.errors import InputError, RequestError
from metseg.schemas.model_card import Preprocessing
from metseg_trainer.batches.augmentation import Augmentation, Frame
from metseg_trainer.batches.dataset import Sampling, SliceDataset
from metseg_trainer.batches.sampling import make_pool
from metseg_trainer.batches.shares import Share
from metseg_trainer.datasets import Target, choose_layout, find_cases, read_image, read_lesions, read_mask
from metseg_trainer.datasets.prepared_cases import load_cases
from metseg_trainer.datasets.splits import draw_patients
from metseg_trainer.phantom import LAYOUT_WRITERS, LesionKind, Phantom, PhantomPreset, make_phantom
from metseg_trainer.phantom.presets import PRESETS
from metseg_trainer.recipes.recipe import Source
from metseg_trainer.training_data.checks import check_sources, expect_bright_enhancement
from metseg_trainer.training_data.manifest import build_manifest
from metseg_trainer.training_data.sources import Paths, cases_of

RULES = Preprocessing(size=64, spacing_mm=3.5)
FEW = PhantomPreset(**{**vars(PRESETS["small"]), "lesions": ((LesionKind.RING, 26.0), (LesionKind.SOLID, 15.0))})
PATIENTS = {
    "brats-mets": ["BraTS-MET-00001", "BraTS-MET-00001", "BraTS-MET-00003"],
    "ucsf-bmsr": ["100101", "100101", "100103"],
    "brainmetshare": ["Mets_001", "Mets_002"],
    "kaggle-lgg": [f"TCGA_PH_{number:04d}_20240101" for number in (1, 2, 3) for _ in range(12)],
}
COUNTS = {"brainmetshare": 2}
"""Its slices of 1 mm are many pictures."""

Lay = Callable[[str], Path]


@pytest.fixture(scope="module")
def heads() -> list[Phantom]:
    return [make_phantom(seed, FEW) for seed in (5, 6, 7)]


@pytest.fixture(scope="module")
def sets(heads: list[Phantom], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sets")
    for layout, write in LAYOUT_WRITERS.items():
        for number, head in enumerate(heads[: COUNTS.get(layout, 3)], start=1):
            write(root / layout, number, head)
    return {layout: root / layout for layout in LAYOUT_WRITERS}


@pytest.fixture
def brats(sets: dict[str, Path], tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(sets["brats-mets"], tmp_path / "brats"))


def _part(study: Path, part: str) -> Path:
    return study / f"{study.name}-{part}.nii.gz"


def _relabel(path: Path, table: dict[int, int]) -> None:
    image = nib.load(path)
    values = np.asarray(image.dataobj)
    changed = values.copy()
    for old, new in table.items():
        changed[values == old] = new
    nib.save(nib.Nifti1Image(changed, image.affine), path)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUT_WRITERS)
def test_a_public_set_goes_from_its_own_folders_to_a_batch(sets, tmp_path: Path, layout: str) -> None:
    cases = find_cases(sets[layout])
    assert choose_layout(sets[layout]).name == layout
    assert sorted(case.patient for case in cases) == PATIENTS[layout]
    places = Paths(sets[layout], sets[layout], tmp_path, tmp_path / "cache")
    source = Source("own", str(sets[layout]), validation_patients=draw_patients(cases, 0.3, seed=1))
    check_sources([source], places, RULES)
    train, kept = (cases_of(source, places, part) for part in ("train", "validation"))
    assert train
    assert kept
    assert not {case.patient for case in train} & {case.patient for case in kept}
    pool = make_pool(load_cases(train, RULES, places.cache), Share(8, lesion_fraction=0.5))
    sampling = Sampling(8, Frame((48, 48)), Augmentation(rotation_degrees=10))
    batches = SliceDataset([pool], sampling, seed=0, epoch=0)
    images, masks = batches[0]
    assert images.shape == (8, 48, 48, 3)
    assert (masks.any(axis=(1, 2, 3))).sum() == 4
    manifest = build_manifest(source, places)
    assert {case.part for case in manifest.cases} == {"train", "validation"}
    assert manifest.disease == ("glioma" if layout == "kaggle-lgg" else "metastasis")


@pytest.mark.parametrize(
    ("target", "values"),
    [
        (None, (1, 3)),
        (Target.TUMOUR_CORE, (1, 3)),
        (Target.WHOLE_TUMOUR, (1, 2, 3)),
        (Target.ENHANCING, (3,)),
    ],
)
def test_the_target_decides_which_labels_are_lesion(sets, heads, target: Target | None, values) -> None:
    case = find_cases(sets["brats-mets"], target=target)[0]
    np.testing.assert_array_equal(read_mask(case).array, np.isin(heads[0].regions.array, values))


def test_classes_are_kept_apart_down_to_the_networks_grid(sets, heads, tmp_path: Path) -> None:
    case = find_cases(sets["brats-mets"], target=Target.CLASSES)[0]
    assert case.labelling.channels == 4
    np.testing.assert_array_equal(read_mask(case).array, heads[0].regions.array)
    (made,) = load_cases([case], RULES, tmp_path)
    assert set(np.unique(made.mask)) == {0, 1, 2, 3}
    (whole,) = load_cases(find_cases(sets["brats-mets"], target=Target.WHOLE_TUMOUR)[:1], RULES, tmp_path)
    np.testing.assert_array_equal(made.mask > 0, whole.mask > 0)


def test_ucsf_keeps_its_enhancing_lesions_in_a_mask_of_their_own(sets, heads) -> None:
    usual, parts = (find_cases(sets["ucsf-bmsr"], target=target)[0] for target in (None, Target.CLASSES))
    assert (usual.mask.name, parts.mask.name) == ("100101A_seg.nii.gz", "100101A_BraTS-seg.nii.gz")
    np.testing.assert_array_equal(read_mask(usual).array > 0, heads[0].regions.array == 3)


def test_pictures_of_brainmetshare_become_a_volume_of_their_documented_spacing(sets, heads) -> None:
    case = find_cases(sets["brainmetshare"])[0]
    scan, lesions = read_image(case).volume, read_lesions(case)
    assert case.image.name == "2"
    assert scan.spacing_mm == (0.94, 0.94, 1.0)
    assert lesions.array.max() == 2
    truth = heads[0].truth[0]
    volume = np.bincount(lesions.array.ravel())[1:].max() * lesions.voxel_mm3
    assert volume == pytest.approx(truth.volume_mm3, rel=0.25)


def test_a_glioma_slice_is_its_flair_channel_and_no_mix(sets) -> None:
    case = find_cases(sets["kaggle-lgg"])[0]
    colours = cv2.imread(str(case.image))
    np.testing.assert_array_equal(read_image(case).volume.array[:, :, 0], colours[:, :, 1].T)


def test_a_target_that_masks_do_not_tell_is_refused(sets) -> None:
    with pytest.raises(RequestError, match="kaggle-lgg do not tell enhancing; they tell: whole_tumour"):
        find_cases(sets["kaggle-lgg"], target=Target.ENHANCING)


def test_a_value_outside_of_the_scheme_names_file_scheme_and_values(brats: Path) -> None:
    _relabel(_part(brats / "BraTS-MET-00001-001", "seg"), {3: 7})
    bad = find_cases(brats)[1]
    with pytest.raises(InputError, match=r"00001-001-seg\.nii\.gz: expected the values 0 background, 1 NETC.*7"):
        read_mask(bad)
    with pytest.raises(InputError, match=r"00001-001-seg\.nii\.gz: expected the values"):
        expect_bright_enhancement([bad])


@pytest.mark.parametrize(("table", "other"), [({2: 3, 3: 2}, 2), ({1: 3, 3: 1}, 1)])
def test_swapped_labels_are_seen_by_their_brightness(brats: Path, table: dict[int, int], other: int) -> None:
    expect_bright_enhancement(find_cases(brats))
    for study in brats.glob("BraTS-*"):
        _relabel(_part(study, "seg"), table)
    with pytest.raises(InputError, match=rf"seg\.nii\.gz: value 3 should be.*than value {other} in 3 of 3 cases"):
        expect_bright_enhancement(find_cases(brats))


@pytest.mark.parametrize(("part", "what"), [("t1c", "without its image"), ("seg", "without its mask")])
def test_a_missing_file_of_a_study_is_named(brats: Path, part: str, what: str) -> None:
    _part(brats / "BraTS-MET-00003-000", part).unlink()
    with pytest.raises(InputError, match=rf"00003-000-{part}\.nii\.gz is missing: .*{what}"):
        find_cases(brats)


def test_a_mask_of_another_size_is_named_before_labels_are_compared(brats: Path) -> None:
    path = _part(brats / "BraTS-MET-00001-000", "seg")
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[1:], image.affine), path)
    with pytest.raises(InputError, match=r"00001-000-seg\.nii\.gz has .* voxels, its image"):
        expect_bright_enhancement(find_cases(brats))


def test_a_folder_that_is_no_study_is_named(brats: Path) -> None:
    (brats / "BraTS-MET-00001-000").rename(brats / "BraTS-MET-1-0")
    with pytest.raises(InputError, match=r"BraTS-MET-1-0 is no study"):
        find_cases(brats)


def test_two_visits_in_two_parts_of_a_split_stop(brats: Path, tmp_path: Path) -> None:
    split = {"folds": [["BraTS-MET-00001-001"], ["BraTS-MET-00001-000"]]}
    (tmp_path / "visits.json").write_text(json.dumps(split))
    places = Paths(brats, brats, tmp_path, tmp_path / "cache")
    with pytest.raises(InputError, match="patient BraTS-MET-00001 is in two parts.*000-t1c.*001-t1c"):
        cases_of(Source("own", str(brats), split="visits"), places, "train")


def test_glioma_and_meningioma_collections_are_known_by_name(brats: Path) -> None:
    for path in sorted(brats.rglob("BraTS-MET-*"), reverse=True):
        path.rename(path.with_name(path.name.replace("MET", "GLI")))
    assert choose_layout(brats).disease == "glioma"
    assert {case.layout for case in find_cases(brats)} == {"brats-gli"}


def test_a_gap_in_a_stack_of_pictures_is_named(sets, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sets["brainmetshare"], tmp_path / "set"))
    (case, _) = find_cases(folder)
    (case.mask / "30.png").unlink()
    with pytest.raises(InputError, match=r"Mets_001/seg: .*30\.png is missing"):
        read_mask(case)


def test_the_nifti_release_of_brainmetshare_is_read_too(brats: Path, tmp_path: Path) -> None:
    study = tmp_path / "set" / "Mets_007"
    study.mkdir(parents=True)
    _relabel(_part(brats / "BraTS-MET-00001-000", "seg"), {1: 255, 2: 0, 3: 255})
    for part, name in (("t1c", "t1_gd"), ("t1n", "t1_pre"), ("seg", "seg")):
        shutil.copy(_part(brats / "BraTS-MET-00001-000", part), study / f"{name}.nii.gz")
    (case,) = find_cases(tmp_path / "set")
    assert (case.patient, case.image.name) == ("Mets_007", "t1_gd.nii.gz")
    assert read_lesions(case).array.max() == 2


def test_two_layouts_in_one_folder_must_be_told_apart(brats: Path, sets) -> None:
    shutil.copytree(sets["ucsf-bmsr"], brats, dirs_exist_ok=True)
    with pytest.raises(InputError, match="several layouts, brats-mets and ucsf-bmsr"):
        find_cases(brats)
    assert len(find_cases(brats, layout="ucsf-bmsr")) == 3
