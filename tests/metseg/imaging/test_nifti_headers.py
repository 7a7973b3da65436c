"""NIfTI headers as the field's programs write them: what is forgiven, warned of and refused."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from metseg.errors import GeometryError, NotFiniteError
from metseg.imaging.limits import ReadLimits
from metseg.imaging.nifti import FILLED, read_nifti, write_nifti
from metseg.imaging.nifti_geometry import BY_QFORM, CONTRADICTORY

LIMITS = ReadLimits()
KINDS = (nib.Nifti1Image, nib.Nifti2Image)
TURNED = np.eye(4)
TURNED[:3, :3] = Rotation.from_euler("xyz", (9, -7, 5), degrees=True).as_matrix() * (0.9, 1.1, 3.0)
TURNED[:3, 3] = (-12, -34, 56)


def image(kind: type = nib.Nifti1Image, qform: np.ndarray | None = TURNED, sform: np.ndarray | None = None):
    """A small image with the positions in space that are given."""
    made = kind(np.arange(20 * 21 * 5, dtype=np.int16).reshape(20, 21, 5), None)
    made.header.set_xyzt_units("mm")
    made.header.set_qform(qform, code=0 if qform is None else 1)
    made.header.set_sform(sform, code=0 if sform is None else 2)
    return made


def saved(made, path: Path, **fields: object) -> Path:
    """Write an image, then other header fields over its own."""
    raw = bytearray(made.to_bytes())
    size = len(made.header.binaryblock)
    header = type(made.header)(bytes(raw[:size]), check=False)
    for name, value in fields.items():
        header[name] = value
    raw[:size] = header.binaryblock
    path.write_bytes(raw)
    return path


def pixdim(qfac: float, made) -> list[float]:
    return [qfac, *made.header["pixdim"][1:]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("qfac", "taken"), [(0, 1), (1, 1), (-1, -1), (2, 1), (-0.5, -1)])
def test_a_first_pixdim_of_zero_is_one_as_the_standard_says(tmp_path: Path, kind: type, qfac: float, taken: int):
    made = image(kind)
    path = saved(made, tmp_path / "a.nii", pixdim=pixdim(qfac, made))
    volume, header, warnings = read_nifti(path, LIMITS)
    np.testing.assert_allclose(volume.affine, TURNED @ np.diag((1, 1, taken, 1)), atol=1e-5)
    assert warnings == ()
    write_nifti(tmp_path / "mask.nii.gz", volume, header)
    np.testing.assert_allclose(nib.load(tmp_path / "mask.nii.gz").affine, volume.affine, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("excess", [1e-6, 1e-4, 2e-3])
def test_a_quaternion_a_trifle_longer_than_one_is_a_turn_by_half_a_circle(
    tmp_path: Path, kind: type, excess: float
):
    quaternion = np.array((0.6, 0.8, 0.0)) * (1 + excess)
    numbers = {f"quatern_{name}": value for name, value in zip("bcd", quaternion, strict=True)}
    volume, header, warnings = read_nifti(saved(image(kind), tmp_path / "a.nii", **numbers), LIMITS)
    turn = Rotation.from_quat((0.6, 0.8, 0.0, 0.0)).as_matrix() * (0.9, 1.1, 3.0)
    np.testing.assert_allclose(volume.affine[:3, :3], turn, atol=1e-5)
    assert warnings == ()
    write_nifti(tmp_path / "mask.nii.gz", volume, header)
    np.testing.assert_allclose(nib.load(tmp_path / "mask.nii.gz").affine, volume.affine, atol=1e-5)


def test_a_quaternion_much_longer_than_one_is_refused(tmp_path: Path):
    path = saved(image(), tmp_path / "a.nii", quatern_b=0.8, quatern_c=0.8)
    with pytest.raises(GeometryError):
        read_nifti(path, LIMITS)


SINGULAR = {"srow_x": (1, 0, 0, 0), "srow_y": (0, 1, 1, 0), "srow_z": (0, 0, 0, 0)}


@pytest.mark.parametrize(
    "rows",
    [
        dict.fromkeys(SINGULAR, (0, 0, 0, 0)),
        SINGULAR,
        dict.fromkeys(SINGULAR, (np.nan,) * 4),
    ],
    ids=["zeros", "singular", "NaN"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_an_unusable_sform_gives_way_to_a_sound_qform(tmp_path: Path, kind: type, rows: dict[str, object]):
    path = saved(image(kind, sform=np.eye(4)), tmp_path / "a.nii", **rows)
    volume, header, warnings = read_nifti(path, LIMITS)
    np.testing.assert_allclose(volume.affine, TURNED, atol=1e-5)
    assert warnings == (BY_QFORM,)
    write_nifti(tmp_path / "mask.nii.gz", volume, header)
    np.testing.assert_allclose(nib.load(tmp_path / "mask.nii.gz").affine, TURNED, atol=1e-5)


def test_a_mended_header_places_an_image_as_itk_does(tmp_path: Path):
    made = image(sform=np.eye(4))
    path = saved(made, tmp_path / "a.nii", pixdim=pixdim(0, made), **SINGULAR)
    volume, _, _ = read_nifti(path, LIMITS)
    read = sitk.ReadImage(str(path))
    lps = np.diag((-1, -1, 1))
    np.testing.assert_allclose(lps @ read.GetOrigin(), volume.affine[:3, 3], atol=1e-4)
    directions = np.array(read.GetDirection()).reshape(3, 3) * read.GetSpacing()
    np.testing.assert_allclose(lps @ directions, volume.affine[:3, :3], atol=1e-4)


@pytest.mark.parametrize(
    ("flip", "told"),
    [
        ((1, 1, 1), ()),
        ((-1, 1, 1), (CONTRADICTORY,)),
        ((-1, -1, 1), (CONTRADICTORY,)),
        ((1, -1, 1), (CONTRADICTORY,)),
    ],
    ids=["alike", "mirrored", "turned by half a circle", "mirrored from front to back"],
)
def test_two_positions_that_contradict_each_other_on_left_and_right_are_warned_of(
    tmp_path: Path, flip: tuple[int, ...], told: tuple[str, ...]
):
    sform = np.diag((*flip, 1)) @ TURNED
    path = saved(image(sform=sform), tmp_path / "a.nii")
    volume, _, warnings = read_nifti(path, LIMITS)
    np.testing.assert_allclose(volume.affine, sform, atol=1e-5)
    assert warnings == told


def test_an_sform_that_is_turned_against_the_qform_a_little_is_not_warned_of(tmp_path: Path):
    """As registration to an atlas leaves it."""
    atlas = np.eye(4)
    atlas[:3, :3] = Rotation.from_euler("xyz", (-20, 12, 25), degrees=True).as_matrix() * 1.1
    _, _, warnings = read_nifti(saved(image(sform=atlas @ TURNED), tmp_path / "a.nii"), LIMITS)
    assert warnings == ()


@pytest.mark.parametrize("spacing_mm", [0.9, 0.06, 1.0])
def test_a_head_of_metres_in_size_is_refused(tmp_path: Path, spacing_mm: float):
    made = image(qform=np.diag((spacing_mm, spacing_mm, spacing_mm, 1)))
    made.header.set_xyzt_units("meter")
    with pytest.raises(GeometryError, match="m in size"):
        read_nifti(saved(made, tmp_path / "a.nii"), LIMITS)


def with_nan(path: Path, *holes: tuple[object, ...], value: float = np.nan, dtype: type = np.float32) -> Path:
    array = np.ones((20, 21, 9), dtype)
    for hole in holes:
        array[hole] = value
    nib.save(nib.Nifti1Image(array, TURNED), path)
    return path


AROUND = ((slice(None, 4),), (slice(None), slice(None), slice(-2, None)), (0, 0, slice(None)))
WITHIN = (10, 10, 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_around_the_head_is_read_as_zero_with_a_warning(tmp_path: Path, dtype: type):
    volume, _, warnings = read_nifti(with_nan(tmp_path / "a.nii", *AROUND, dtype=dtype), LIMITS)
    expected = np.ones((20, 21, 9), np.float32)
    for hole in AROUND:
        expected[hole] = 0
    np.testing.assert_array_equal(volume.array, expected)
    assert warnings == (FILLED,)


@pytest.mark.parametrize(
    ("holes", "value"),
    [
        ((WITHIN,), np.nan),
        ((*AROUND, WITHIN), np.nan),
        (((slice(8, 12), slice(8, 12), 0),), np.nan),
        (AROUND, np.inf),
    ],
    ids=["within the head", "around and within", "in the middle of the lowest slice", "infinite around"],
)
def test_nan_elsewhere_and_infinity_are_refused(
    tmp_path: Path, holes: tuple[tuple[object, ...], ...], value: float
):
    with pytest.raises(NotFiniteError):
        read_nifti(with_nan(tmp_path / "a.nii", *holes, value=value), LIMITS)
