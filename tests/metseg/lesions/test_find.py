import numpy as np
import pytest
from phantoms import ORIENTATIONS, affine_of, centred, distances_mm
from scipy import ndimage

from metseg.errors import TooManyLesionsError
from metseg.imaging.volume import Volume
from metseg.lesions.find import LesionRules, find_lesions, label_lesions

ALL = LesionRules()


def found(array, affine=None, rules=ALL):
    volume = Volume(np.asarray(array, np.uint8), np.eye(4) if affine is None else affine)
    return find_lesions(volume, volume.array.astype(np.float32) * 0.8, rules)


def ball(shape, affine, centre_mm, radius_mm):
    return distances_mm(shape, affine, np.asarray(centre_mm, float)) <= radius_mm


def test_an_empty_mask_has_no_lesions():
    lesions, labels = found(np.zeros((5, 5, 5)))
    assert lesions == []
    assert not labels.any()


def test_a_single_voxel_is_as_long_as_its_spacing():
    array = np.zeros((5, 5, 5))
    array[2, 3, 4] = 1
    (lesion,), _ = found(array, np.diag([0.5, 0.7, 3.0, 1]))
    assert lesion.volume_mm3 == pytest.approx(1.05)
    assert lesion.longest_diameter_mm == pytest.approx(0.7)
    assert lesion.perpendicular_diameter_mm == pytest.approx(0.5)
    assert lesion.centroid_ras_mm == pytest.approx((1.0, 2.1, 12.0))
    assert (lesion.slice_axis, lesion.slice_index) == (2, 4)


def test_voxels_that_touch_by_a_corner_are_one_lesion():
    array = np.zeros((4, 4, 4))
    array[1, 1, 1] = array[2, 2, 2] = 1
    assert len(found(array)[0]) == 1
    array[2, 2, 2], array[3, 3, 3] = 0, 1
    assert len(found(array)[0]) == 2


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.5, 3.0), (0.9, 0.6, 1.5)])
@pytest.mark.parametrize("codes", [("R", "A", "S"), ("L", "P", "S"), ("A", "S", "R"), ("I", "L", "P")])
def test_a_ball_has_its_volume_and_diameter_in_every_grid(codes, spacing):
    affine = affine_of(codes, spacing)
    shape = tuple(int(50 / mm) for mm in spacing)
    centre = affine[:3, :3] @ (np.array(shape) // 2)
    (lesion,), _ = found(ball(shape, affine, centre, 10), affine)
    assert lesion.volume_mm3 == pytest.approx(4 / 3 * np.pi * 1000, rel=0.05)
    assert lesion.longest_diameter_mm == pytest.approx(20, abs=max(1.5, *spacing))
    assert lesion.perpendicular_diameter_mm == pytest.approx(20, abs=max(1.5, *spacing))
    assert lesion.centroid_ras_mm == pytest.approx(tuple(centre), abs=0.1)
    assert codes[lesion.slice_axis] in "SI"


@pytest.mark.parametrize("angle", range(0, 180, 15))
def test_an_ellipse_has_its_axes_at_every_angle(angle):
    x, y = np.meshgrid(np.arange(80) - 40.0, np.arange(80) - 40.0, indexing="ij")
    turned = np.deg2rad(angle)
    along, across = x * np.cos(turned) + y * np.sin(turned), y * np.cos(turned) - x * np.sin(turned)
    (lesion,), _ = found(((along / 30) ** 2 + (across / 10) ** 2 <= 1)[:, :, None])
    assert lesion.longest_diameter_mm == pytest.approx(60, abs=1.5)
    assert lesion.perpendicular_diameter_mm == pytest.approx(20, abs=1.5)


def test_the_longest_diameter_lies_in_one_slice_and_not_across_slices():
    array = np.zeros((30, 30, 30))
    for z in range(20):
        array[z : z + 6, 3:6, z] = 1
    (lesion,), _ = found(array)
    assert lesion.longest_diameter_mm < 7.5


def test_the_largest_lesion_is_number_one_and_small_ones_are_dropped():
    array = np.zeros((30, 30, 10))
    array[2:4, 2:4, 2] = 1
    array[10:20, 10:20, 2:8] = 1
    array[25, 25, 5] = 1
    lesions, labels = found(array, rules=LesionRules(min_mm3=2))
    assert [lesion.voxels for lesion in lesions] == [600, 4]
    assert (labels == 1).sum() == 600
    assert labels[25, 25, 5] == 0
    assert lesions[0].mean_probability == pytest.approx(0.8)


def test_the_count_agrees_with_scipy_on_random_masks():
    rng = np.random.default_rng(3)
    for _ in range(10):
        array = rng.random((17, 13, 9)) > 0.93
        _, expected = ndimage.label(array, np.ones((3, 3, 3)))
        lesions, labels = found(array)
        assert len(lesions) == labels.max() == expected
        assert sum(lesion.voxels for lesion in lesions) == array.sum()


def test_a_picture_without_spacing_has_pixels_and_no_millimetres():
    array = np.zeros((40, 30, 1))
    array[10:20, 5:9, 0] = 1
    (lesion,), _ = found(array, rules=LesionRules(is_picture=True, has_spacing=False))
    assert (lesion.area_px, lesion.centroid_px) == (40, (14.5, 6.5))
    assert lesion.longest_diameter_px == pytest.approx(np.hypot(10, 3), abs=0.6)
    assert lesion.volume_mm3 is lesion.area_mm2 is lesion.longest_diameter_mm is lesion.centroid_ras_mm is None


def test_a_picture_with_spacing_has_both_and_still_no_volume():
    array = np.zeros((40, 30, 1))
    array[10:20, 5:9, 0] = 1
    (lesion,), _ = found(array, np.diag([-0.5, -0.5, 1, 1]), LesionRules(is_picture=True))
    assert lesion.area_mm2 == pytest.approx(10)
    assert lesion.longest_diameter_mm == pytest.approx(lesion.longest_diameter_px / 2)
    assert lesion.volume_mm3 is None


def test_what_is_known_of_a_lesion_beside_its_size():
    array = np.zeros((9, 9, 9))
    array[3:6, 3:6, 2:7] = 1
    volume = Volume(array.astype(np.uint8), np.diag((1, 1, 2, 1)))
    probability = array.astype(np.float32) * 0.6
    probability[4, 4, 4] = 0.9
    (lesion,), _ = find_lesions(volume, probability, ALL)
    assert lesion.max_probability == pytest.approx(0.9)
    assert lesion.slices_spanned == 5
    assert lesion.equivalent_sphere_mm == pytest.approx((6 * 90 / np.pi) ** (1 / 3))
    assert {point[2] for point in lesion.longest_diameter_ends_ras_mm} == {2.0 * lesion.slice_index}


@pytest.mark.parametrize("codes", ORIENTATIONS[::7], ids="".join)
def test_equal_lesions_have_the_same_numbers_however_the_scan_is_stored(codes):
    ras = np.zeros((20, 20, 20), np.uint8)
    for x, y, z in ((3, 3, 3), (15, 3, 3), (15, 15, 3), (15, 3, 15)):
        ras[x : x + 2, y : y + 2, z : z + 2] = 1
    volume = Volume(ras, np.diag((1.0, 1.0, 1.0, 1.0)))
    order = [next(i for i, pair in enumerate(("RL", "AP", "SI")) if code in pair) for code in codes]
    flips = [-1 if code in "LPI" else 1 for code in codes]
    stored = ras.transpose(order)[tuple(slice(None, None, flip) for flip in flips)]
    turned = Volume(stored, centred(affine_of(codes, (1.0, 1.0, 1.0)), stored.shape, np.full(3, 9.5)))
    first, again = (
        [lesion.centroid_ras_mm for lesion in find_lesions(one, one.array.astype(np.float32), ALL)[0]]
        for one in (volume, turned)
    )
    np.testing.assert_allclose(first, again)
    assert first == [(15.5, 3.5, 3.5), (15.5, 3.5, 15.5), (15.5, 15.5, 3.5), (3.5, 3.5, 3.5)]


@pytest.mark.parametrize(
    ("place", "reaches"),
    [
        (np.s_[3:6, 3:6, 3:6], False),
        (np.s_[1:8, 1:8, 1:8], False),
        (np.s_[0:3, 3:6, 3:6], True),
        (np.s_[3:6, 6:9, 3:6], True),
        (np.s_[3:6, 3:6, 6:9], True),
    ],
)
def test_a_lesion_knows_whether_the_border_may_cut_it_off(place, reaches):
    array = np.zeros((9, 9, 9))
    array[place] = 1
    (lesion,), _ = found(array)
    assert lesion.touches_border == reaches


def test_the_two_sides_of_a_picture_are_no_border():
    array = np.zeros((40, 30, 1))
    array[10:20, 5:9, 0] = array[0:2, 20:25, 0] = 1
    lesions, _ = found(array, rules=LesionRules(is_picture=True, has_spacing=False))
    assert [lesion.touches_border for lesion in lesions] == [False, True]


def test_more_lesions_than_can_be_numbered_are_refused_and_never_wrap_around():
    array = np.zeros((82, 82, 82), np.uint8)
    array[::2, ::2, ::2] = 1
    mask = Volume(array, np.eye(4))
    labels = label_lesions(mask, LesionRules())
    assert labels.max() == 41**3
    with pytest.raises(TooManyLesionsError, match="68921"):
        find_lesions(mask, array.astype(np.float32), LesionRules())
