"""Diameters against brute force on every grid, and against solids whose diameters are known."""

import numpy as np
import pytest
from phantoms import ORIENTATIONS, affine_of
from scipy import ndimage
from scipy.spatial.transform import Rotation
from solids import random_solids

from metseg.imaging.volume import Volume
from metseg.lesions.diameters import in_plane_diameters
from metseg.lesions.find import LesionRules, find_lesions, slice_axis_of


def blob(rng, shape=(14, 12, 9)):
    """A ragged mask with bays and holes."""
    return ndimage.gaussian_filter(rng.normal(size=shape), 1.2, mode="constant") > 0.12


def edge_middles_mm(inside, affine, slice_axis, index):
    """The middles of all four edges of each voxel of a slice, in space."""
    voxels = np.argwhere(np.take(inside, index, axis=slice_axis)).astype(float)
    around = voxels[:, None] + np.array(((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)))
    return np.insert(around.reshape(-1, 2), slice_axis, index, axis=1) @ affine[:3, :3].T + affine[:3, 3]


def longest_mm(points):
    return np.linalg.norm(points[:, None] - points[None], axis=-1).max()


def longest_across_mm(points, along):
    """The longest chord at right angles, from every segment between two points, with no hull."""
    normal = np.linalg.svd(points - points.mean(axis=0))[2][2]
    place, height = points @ along, points @ np.cross(normal, along)
    first, second = np.triu_indices(len(points), 1)
    swap = place[first] > place[second]
    first, second = np.where(swap, second, first), np.where(swap, first, second)
    span = place[second] - place[first]
    best = 0.0
    for at in np.unique(place):
        over = (place[first] <= at) & (at <= place[second]) & (span > 1e-9)
        share = (at - place[first][over]) / span[over]
        heights = height[first][over] * (1 - share) + height[second][over] * share
        best = max(best, float(np.ptp(heights)))
    return best


@pytest.mark.parametrize("codes", ORIENTATIONS, ids="".join)
def test_both_diameters_equal_brute_force_on_a_ragged_mask_in_an_oblique_grid(codes):
    rng = np.random.default_rng(ORIENTATIONS.index(codes))
    turn = Rotation.from_rotvec(rng.uniform(-0.3, 0.3, 3)).as_matrix()
    volume = Volume(blob(rng).astype(np.uint8), affine_of(codes, tuple(rng.uniform(0.4, 3, 3)), turn))
    axis = slice_axis_of(volume)
    found = in_plane_diameters(volume.array > 0, volume.affine, axis)
    slices = np.flatnonzero(volume.array.any(axis=tuple({0, 1, 2} - {axis})))
    points = [edge_middles_mm(volume.array, volume.affine, axis, index) for index in slices]
    lengths = [longest_mm(one) for one in points]
    assert found.longest.length == pytest.approx(max(lengths), abs=1e-6)
    assert lengths[list(slices).index(found.slice_index)] == pytest.approx(max(lengths), abs=1e-6)
    start, end = volume.world(np.array((found.longest.start, found.longest.end)))
    here = points[list(slices).index(found.slice_index)]
    expected = longest_across_mm(here, (end - start) / np.linalg.norm(end - start))
    assert found.perpendicular.length == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("codes", ORIENTATIONS[::5], ids="".join)
def test_the_lines_are_as_long_as_told_at_right_angles_and_cross(codes):
    rng = np.random.default_rng(7)
    shear = np.eye(3) + np.triu(rng.uniform(-0.2, 0.2, (3, 3)), 1)
    volume = Volume(blob(rng).astype(np.uint8), affine_of(codes, (0.7, 1.1, 2.0), shear))
    found = in_plane_diameters(volume.array > 0, volume.affine, slice_axis_of(volume))
    a, b = volume.world(np.array((found.longest.start, found.longest.end)))
    c, d = volume.world(np.array((found.perpendicular.start, found.perpendicular.end)))
    assert np.linalg.norm(b - a) == pytest.approx(found.longest.length)
    assert np.linalg.norm(d - c) == pytest.approx(found.perpendicular.length)
    assert (b - a) @ (d - c) == pytest.approx(0, abs=1e-6)
    along = (c - a) @ (b - a) / found.longest.length**2
    assert 0 <= along <= 1


def test_a_square_has_its_diagonals():
    inside = np.zeros((12, 12, 1), bool)
    inside[1:11, 1:11] = True
    found = in_plane_diameters(inside, np.eye(4), 2)
    assert found.longest.length == pytest.approx(np.hypot(10, 9))
    assert found.perpendicular.length == pytest.approx(found.longest.length)


def test_of_equally_long_slices_the_broadest_is_taken():
    inside = np.zeros((12, 12, 3), bool)
    inside[1:11, 4, :] = True
    inside[5, 3:6, 1] = True
    assert in_plane_diameters(inside, np.eye(4), 2).slice_index == 1


@pytest.mark.slow
def test_two_hundred_solids_in_all_orientations_are_measured_within_three_percent():
    errors = []
    for solid in random_solids(200, seed=11):
        [lesion], _ = find_lesions(solid.mask, solid.mask.array.astype(np.float32), LesionRules())
        assert lesion.volume_mm3 == pytest.approx(solid.mask.array.sum() * solid.mask.voxel_mm3)
        pairs = (
            (lesion.volume_mm3, solid.volume_mm3),
            (lesion.longest_diameter_mm, solid.longest_mm),
            (lesion.perpendicular_diameter_mm, solid.perpendicular_mm),
        )
        errors.append([abs(measured / true - 1) for measured, true in pairs])
    assert (np.mean(errors, axis=0) < 0.03).all(), np.mean(errors, axis=0)
