"""Each rule of RANO-BM decides where it should, and nowhere else."""

import numpy as np
import pytest
from phantoms import ORIENTATIONS, affine_of
from scipy.spatial.transform import Rotation

from metseg.imaging.volume import Volume
from metseg.lesions.find import LesionRules, find_lesions
from metseg.response.rano_bm import assess, plane_of
from metseg.schemas.report import Lesion, RanoBm, RanoRule


def grid(spacing=(1.0, 1.0, 1.0), codes=("R", "A", "S")) -> Volume:
    return Volume(np.zeros((8, 8, 8), np.uint8), affine_of(codes, spacing))


def lesion(label=1, longest=12.0, perpendicular=8.0, slices=4) -> Lesion:
    return Lesion(
        label=label,
        voxels=500,
        volume_mm3=500.0,
        longest_diameter_mm=longest,
        perpendicular_diameter_mm=perpendicular,
        mean_probability=0.8,
        slice_axis=2,
        slice_index=3,
        slices_spanned=slices,
    )


def judged(*lesions: Lesion) -> RanoBm:
    return assess(list(lesions), grid(), is_picture=False)


@pytest.mark.parametrize(
    ("size", "rule"),
    [
        ({}, RanoRule.MEASURABLE),
        ({"longest": 10.0, "perpendicular": 5.0, "slices": 2}, RanoRule.MEASURABLE),
        ({"longest": 9.9}, RanoRule.LONGEST),
        ({"perpendicular": 4.9}, RanoRule.PERPENDICULAR),
        ({"slices": 1}, RanoRule.SLICES),
        ({"longest": 9.9, "perpendicular": 4.9, "slices": 1}, RanoRule.LONGEST),
    ],
)
def test_a_lesion_is_measurable_unless_a_rule_says_no(size, rule):
    found = judged(lesion(**size))
    [verdict] = found.lesions
    assert verdict.decided_by is rule
    assert verdict.measurable is verdict.target is (rule is RanoRule.MEASURABLE)
    assert found.measurable_count == verdict.measurable


def test_the_five_longest_measurable_lesions_are_targets():
    lengths = (11, 30, 12, 9, 25, 14, 13)
    found = judged(*(lesion(label, float(mm)) for label, mm in enumerate(lengths, 1)))
    assert found.targets == [2, 5, 6, 7, 3]
    assert found.sum_of_longest_diameters_mm == pytest.approx(30 + 25 + 14 + 13 + 12)
    assert found.target_volume_mm3 == pytest.approx(2500)
    assert found.measurable_count == 6
    assert [verdict.label for verdict in found.lesions if verdict.target] == [2, 3, 5, 6, 7]


def test_a_scan_without_lesions_has_a_sum_of_nothing():
    found = judged()
    assert (found.targets, found.measurable_count, found.sum_of_longest_diameters_mm) == ([], 0, 0)


@pytest.mark.parametrize("spacing", [(1, 1, 5.1), (1, 5.1, 1), (5.1, 1, 1)])
def test_beyond_five_millimetres_nothing_is_measured(spacing):
    found = assess([lesion()], grid(spacing), is_picture=False)
    assert not found.applies
    assert found.decided_by is RanoRule.SPACING
    assert (found.lesions, found.targets, found.sum_of_longest_diameters_mm) == ([], [], None)


def test_five_millimetres_are_still_measured():
    assert assess([lesion()], grid((1, 1, 5.0000002)), is_picture=False).applies


def test_a_picture_is_not_measured():
    found = assess([lesion()], grid(), is_picture=True)
    assert (found.applies, found.decided_by, found.plane) == (False, RanoRule.VOLUME, None)


@pytest.mark.parametrize("codes", ORIENTATIONS[::7], ids="".join)
def test_the_plane_is_told_however_the_scan_is_stored_and_tilted(codes):
    turn = Rotation.from_euler("x", 20, degrees=True).as_matrix()
    spacing = tuple({"R": 0.5, "L": 0.5, "A": 0.7, "P": 0.7, "S": 3.0, "I": 3.0}[code] for code in codes)
    plane = plane_of(Volume(np.zeros((4, 4, 4), np.uint8), affine_of(codes, spacing, turn)))
    assert codes[plane.slice_axis] in "SI"
    assert plane.tilt_degrees == pytest.approx(20)
    assert sorted(plane.pixel_spacing_mm) == pytest.approx([0.5, 0.7])
    assert plane.slice_spacing_mm == pytest.approx(3)


def test_every_rule_that_may_decide_has_its_sentence():
    assert set(judged().rules) == set(RanoRule)


def test_a_ball_that_was_measured_is_judged_by_its_measures():
    index = np.indices((40, 40, 40)) - 19.5
    mask = Volume((np.linalg.norm(index, axis=0) <= 7).astype(np.uint8), np.eye(4))
    lesions, _ = find_lesions(mask, mask.array.astype(np.float32), LesionRules())
    found = assess(lesions, mask, is_picture=False)
    assert found.targets == [1]
    assert found.sum_of_longest_diameters_mm == pytest.approx(lesions[0].longest_diameter_mm)
