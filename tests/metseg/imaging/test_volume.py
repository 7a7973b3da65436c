import nibabel as nib
import numpy as np
import pytest
from phantoms import ORIENTATIONS, affine_of

from metseg.errors import GeometryError, NotFiniteError, UnsupportedInputError
from metseg.imaging.volume import Volume


@pytest.mark.parametrize("codes", ORIENTATIONS, ids="".join)
def test_to_ras_and_back_gives_the_same_voxels_at_the_same_places(codes):
    rng = np.random.default_rng(1)
    affine = affine_of(codes, (0.9, 1.1, 3.0))
    affine[:3, 3] = (10, -20, 30)
    volume = Volume(rng.integers(0, 99, (4, 5, 6)), affine)
    canonical = volume.to_ras()
    assert volume.orientation == codes
    assert canonical.orientation == ("R", "A", "S")
    np.testing.assert_array_equal(volume.from_ras(canonical.array), volume.array)
    brightest = np.argwhere(volume.array == volume.array.max())
    same = np.argwhere(canonical.array == canonical.array.max())
    np.testing.assert_allclose(
        np.sort(volume.world(brightest), axis=0), np.sort(canonical.world(same), axis=0), atol=1e-9
    )


def test_canonical_form_agrees_with_nibabel():
    volume = Volume(np.arange(120.0).reshape(4, 5, 6), affine_of(("P", "I", "R"), (2.0, 3.0, 4.0)))
    expected = nib.as_closest_canonical(nib.Nifti1Image(volume.array, volume.affine))
    np.testing.assert_array_equal(volume.to_ras().array, expected.get_fdata())
    np.testing.assert_allclose(volume.to_ras().affine, expected.affine)


def test_spacing_and_voxel_volume_come_from_the_affine():
    volume = Volume(np.zeros((2, 2, 2)), affine_of(("L", "P", "S"), (0.5, 0.75, 3.0)))
    assert volume.spacing_mm == pytest.approx((0.5, 0.75, 3.0))
    assert volume.voxel_mm3 == pytest.approx(1.125)


def test_world_and_voxel_are_inverse():
    volume = Volume(np.zeros((2, 2, 2)), affine_of(("A", "S", "L"), (0.5, 0.75, 3.0)))
    points = np.array([[0, 0, 0], [1.5, 2, -3]])
    np.testing.assert_allclose(volume.voxel(volume.world(points)), points, atol=1e-12)


@pytest.mark.parametrize(
    ("array", "affine", "error"),
    [
        (np.zeros((2, 2)), np.eye(4), UnsupportedInputError),
        (np.zeros((2, 2, 2, 2)), np.eye(4), UnsupportedInputError),
        (np.zeros((2, 0, 2)), np.eye(4), UnsupportedInputError),
        (np.zeros((2, 2, 2), complex), np.eye(4), UnsupportedInputError),
        (np.full((2, 2, 2), np.nan), np.eye(4), NotFiniteError),
        (np.zeros((2, 2, 2)), np.eye(3), GeometryError),
        (np.zeros((2, 2, 2)), np.diag([1, 1, np.nan, 1]), GeometryError),
        (np.zeros((2, 2, 2)), np.diag([1, 1, 0, 1]), GeometryError),
        (np.zeros((2, 2, 2)), np.diag([1, 1, 1, 2]), GeometryError),
        (np.zeros((2, 2, 2)), np.diag([1, 1, 5000, 1]), GeometryError),
        (np.zeros((2, 2, 2)), np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), GeometryError),
    ],
)
def test_a_volume_that_is_not_valid_cannot_be_made(array, affine, error):
    with pytest.raises(error, match="expected"):
        Volume(array, affine)


def test_the_affine_of_a_volume_cannot_be_changed_afterwards():
    affine = np.eye(4)
    volume = Volume(np.zeros((2, 2, 2)), affine)
    affine[0, 0] = 7
    assert volume.affine[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0, 0] = 7
