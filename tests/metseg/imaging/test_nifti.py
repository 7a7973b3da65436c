import gzip

import nibabel as nib
import numpy as np
import pytest
from phantoms import affine_of
from scipy.spatial.transform import Rotation

from metseg.errors import (
    DamagedInputError,
    GeometryError,
    InputError,
    InputTooLargeError,
    InputTooSmallError,
    NotFiniteError,
    UnsupportedInputError,
)
from metseg.imaging.limits import ReadLimits
from metseg.imaging.nifti import read_nifti, write_nifti
from metseg.imaging.volume import Volume

LIMITS = ReadLimits()
OBLIQUE = affine_of(
    ("L", "S", "P"), (0.9, 1.1, 3.0), Rotation.from_euler("xyz", (9, -7, 5), degrees=True).as_matrix()
)
OBLIQUE[:3, 3] = (12, -34, 56)


def image(kind=nib.Nifti1Image, dtype=np.int16, shape=(20, 21, 5)):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    made = kind(array, OBLIQUE)
    made.header.set_xyzt_units("mm", "sec")
    made.header["descrip"] = b"DOE^JANE 1961"
    made.set_sform(OBLIQUE, 2)
    made.set_qform(OBLIQUE, 1)
    return made


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_mask_lies_on_the_very_grid_of_its_scan(tmp_path, kind, name):
    nib.save(image(kind), tmp_path / name)
    volume, header, _ = read_nifti(tmp_path / name, LIMITS)
    write_nifti(tmp_path / "mask.nii.gz", volume.with_array((volume.array > 9).astype(np.uint8)), header)
    source, mask = nib.load(tmp_path / name), nib.load(tmp_path / "mask.nii.gz")
    assert mask.shape == source.shape
    assert mask.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(mask.affine, source.affine)
    for field in ("sform_code", "qform_code", "xyzt_units", "pixdim", "qoffset_x", "quatern_b", "srow_z"):
        np.testing.assert_array_equal(mask.header[field], source.header[field])
    np.testing.assert_array_equal(np.asarray(mask.dataobj), np.asarray(source.dataobj) > 9)


def test_no_text_of_the_source_header_is_carried_over(tmp_path):
    nib.save(image(), tmp_path / "a.nii.gz")
    volume, header, _ = read_nifti(tmp_path / "a.nii.gz", LIMITS)
    write_nifti(tmp_path / "b.nii.gz", volume, header)
    assert b"DOE" not in header
    assert b"DOE" not in gzip.decompress((tmp_path / "b.nii.gz").read_bytes())


def test_a_trailing_dimension_of_one_is_kept(tmp_path):
    nib.save(image(shape=(20, 21, 5, 1)), tmp_path / "a.nii")
    volume, header, _ = read_nifti(tmp_path / "a.nii", LIMITS)
    assert volume.shape == (20, 21, 5)
    write_nifti(tmp_path / "b.nii.gz", volume, header)
    assert nib.load(tmp_path / "b.nii.gz").shape == (20, 21, 5, 1)


def test_writing_twice_gives_the_same_bytes(tmp_path):
    volume = Volume(np.arange(8, dtype=np.uint8).reshape(2, 2, 2), OBLIQUE)
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(tmp_path / name, volume)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_scaled_values_and_other_byte_orders_are_read_as_nibabel_reads_them(tmp_path):
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    header.set_data_shape((20, 21, 5))
    header["scl_slope"], header["scl_inter"] = 0.5, -3
    header.set_sform(OBLIQUE, 1)
    array = np.arange(2100, dtype=">i2").reshape((20, 21, 5), order="F")
    header["vox_offset"] = 352
    header["magic"] = b"n+1\0"
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(4) + array.tobytes(order="F"))
    volume, _, _ = read_nifti(tmp_path / "a.nii", LIMITS)
    np.testing.assert_allclose(volume.array, nib.load(tmp_path / "a.nii").get_fdata())
    np.testing.assert_allclose(volume.affine, OBLIQUE, rtol=1e-6)


def test_metres_are_read_as_millimetres_and_written_as_metres(tmp_path):
    made = image()
    made.set_sform(np.diag([0.001, 0.001, 0.003, 1]), 1)
    made.header.set_xyzt_units("meter")
    nib.save(made, tmp_path / "a.nii")
    volume, header, _ = read_nifti(tmp_path / "a.nii", LIMITS)
    assert volume.spacing_mm == pytest.approx((1, 1, 3))
    write_nifti(tmp_path / "b.nii.gz", volume, header)
    np.testing.assert_array_equal(nib.load(tmp_path / "b.nii.gz").affine, nib.load(tmp_path / "a.nii").affine)


def test_a_file_that_does_not_tell_left_from_right_is_read_with_a_warning(tmp_path):
    made = image()
    made.set_sform(None, 0)
    made.set_qform(None, 0)
    nib.save(made, tmp_path / "a.nii")
    _, _, warnings = read_nifti(tmp_path / "a.nii", LIMITS)
    assert "left and right" in warnings[0]


def changed(tmp_path, **fields):
    """The bytes of a sound file with header fields overwritten."""
    nib.save(image(), tmp_path / "sound.nii")
    raw = bytearray((tmp_path / "sound.nii").read_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    raw[:348] = header.binaryblock
    return bytes(raw)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"dim": (3, 20, 21, 500, 1, 1, 1, 1)}, DamagedInputError),
        ({"dim": (3, -20, 21, 5, 1, 1, 1, 1)}, DamagedInputError),
        ({"dim": (3, 32767, 32767, 32767, 1, 1, 1, 1)}, InputTooLargeError),
        ({"dim": (99, 20, 21, 5, 1, 1, 1, 1)}, DamagedInputError),
        ({"dim": (4, 20, 21, 5, 7, 1, 1, 1)}, UnsupportedInputError),
        ({"dim": (3, 2, 2, 2, 1, 1, 1, 1)}, InputTooSmallError),
        ({"datatype": 32, "bitpix": 64}, UnsupportedInputError),
        ({"datatype": 128, "bitpix": 24}, UnsupportedInputError),
        ({"datatype": 9999}, DamagedInputError),
        ({"vox_offset": np.nan}, DamagedInputError),
        ({"vox_offset": 1e12}, DamagedInputError),
        ({"qform_code": 0, "srow_x": (np.nan, 0, 0, 0)}, GeometryError),
        ({"qform_code": 0, "srow_x": (0, 0, 0, 0)}, GeometryError),
        ({"quatern_b": 9.0, "srow_x": (0, 0, 0, 0)}, GeometryError),
        (
            {"qform_code": 0, "srow_x": (0, 0, 1, 0), "srow_y": (0, 0, 1, 0), "srow_z": (1, 0, 0, 0)},
            GeometryError,
        ),
        ({"sform_code": 0, "quatern_b": 9.0}, GeometryError),
        ({"sform_code": 0, "qform_code": 0, "pixdim": (1, 0, 0, 0, 0, 0, 0, 0)}, InputError),
        ({"magic": b"ni1"}, UnsupportedInputError),
    ],
)
def test_a_lying_header_is_refused(tmp_path, fields, error):
    (tmp_path / "a.nii").write_bytes(changed(tmp_path, **fields))
    with pytest.raises(error):
        read_nifti(tmp_path / "a.nii", LIMITS)


def test_a_truncated_gzip_is_refused(tmp_path):
    nib.save(image(), tmp_path / "a.nii.gz")
    whole = (tmp_path / "a.nii.gz").read_bytes()
    for length in (len(whole) - 4, len(whole) // 2, 30):
        (tmp_path / "cut.nii.gz").write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_nifti(tmp_path / "cut.nii.gz", LIMITS)


def test_a_flipped_bit_in_a_gzip_is_noticed(tmp_path):
    nib.save(image(), tmp_path / "a.nii.gz")
    raw = bytearray((tmp_path / "a.nii.gz").read_bytes())
    raw[-6] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(raw)
    with pytest.raises(DamagedInputError):
        read_nifti(tmp_path / "a.nii.gz", LIMITS)


def test_a_bomb_behind_a_small_image_is_not_unpacked(tmp_path):
    nib.save(image(), tmp_path / "a.nii")
    bomb = gzip.compress((tmp_path / "a.nii").read_bytes() + bytes(64 << 20))
    (tmp_path / "a.nii.gz").write_bytes(bomb)
    with pytest.raises(DamagedInputError, match="more than its header"):
        read_nifti(tmp_path / "a.nii.gz", LIMITS)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_voxels_that_are_not_finite_are_refused(tmp_path, value):
    array = np.ones((20, 20, 5))
    array[3, 3, 3] = value
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(NotFiniteError):
        read_nifti(tmp_path / "a.nii", LIMITS)


def test_an_array_of_another_shape_is_not_written_on_the_grid(tmp_path):
    nib.save(image(), tmp_path / "a.nii")
    _, header, _ = read_nifti(tmp_path / "a.nii", LIMITS)
    with pytest.raises(GeometryError):
        write_nifti(tmp_path / "b.nii.gz", Volume(np.zeros((21, 20, 5), np.uint8), OBLIQUE), header)
