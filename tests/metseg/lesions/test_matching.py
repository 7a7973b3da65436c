"""What became of a lesion is told rightly, though the head was turned and the grid is another."""

import numpy as np
import pytest
from heads import motion
from phantoms import affine_of, centred, distances_mm

from metseg.imaging.volume import Volume
from metseg.lesions.find import LesionRules, find_lesions
from metseg.lesions.matching import Measured, changes_of, match
from metseg.schemas.follow_up import ChangeKind, LesionChange

POSE = motion(14, (1, -2, 1), (9, -12, 6))
BEFORE = [
    ((-40, 40, 10), 6), ((0, 40, 10), 6), ((40, 40, 10), 8),  # grown, stable, shrunk
    ((-40, 0, 10), 5),  # gone
    ((0, 0, 10), 9),  # split
    ((34, 0, 10), 4), ((46, 0, 10), 4),  # merged
]  # fmt: skip
NOW = [
    ((-40, 40, 10), 9), ((0, 40, 10), 6), ((40, 40, 10), 4),
    ((-40, -40, 10), 5),  # new
    ((-6, 0, 10), 4), ((6, 0, 10), 4),
    ((40, 0, 10), 10),
]  # fmt: skip


def seen(balls, spacing=(1.0, 1.0, 1.0), pose=None) -> Measured:
    """Balls of the head as a scanner sees them, that has the head in that pose."""
    pose = np.eye(4) if pose is None else pose
    shape = tuple(np.ceil(np.array([130.0, 130.0, 60.0]) / spacing).astype(int).tolist())
    affine = centred(affine_of(("R", "A", "S"), spacing), shape, pose[:3, :3] @ [0, 0, 10] + pose[:3, 3])
    array = np.zeros(shape, np.uint8)
    for middle, radius in balls:
        array[distances_mm(shape, affine, pose[:3, :3] @ middle + pose[:3, 3]) <= radius] = 1
    mask = Volume(array, affine)
    lesions, labels = find_lesions(mask, array.astype(np.float32), LesionRules())
    return Measured(lesions, mask.with_array(labels))


def changes(before: Measured, now: Measured, to_before=None) -> list[LesionChange]:
    to_before = np.eye(4) if to_before is None else to_before
    return changes_of(match(before, now, to_before), before, now)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.2, 2.5)])
def test_each_of_the_seven_kinds_is_told_after_a_turn_and_on_another_grid(spacing):
    found = changes(seen(BEFORE, spacing, POSE), seen(NOW), POSE)
    grown, stable, shrunk, gone, split, merged, new = (
        next(change for change in found if change.kind is kind)
        for kind in (
            ChangeKind.GROWN, ChangeKind.STABLE, ChangeKind.SHRUNK, ChangeKind.GONE, ChangeKind.SPLIT,
            ChangeKind.MERGED, ChangeKind.NEW,
        )
    )  # fmt: skip
    assert len(found) == 7
    assert grown.volume_change_percent == pytest.approx(100 * (9**3 / 6**3 - 1), abs=12)
    assert grown.longest_change_percent == pytest.approx(50, abs=8)
    assert stable.volume_change_percent == pytest.approx(0, abs=5)
    assert shrunk.volume_change_percent == pytest.approx(100 * (4**3 / 8**3 - 1), abs=2)
    assert (gone.now, gone.volume_change_percent) == ([], -100)
    assert (len(split.before), len(split.now)) == (1, 2)
    assert split.volume_change_percent == pytest.approx(100 * (2 * 4**3 / 9**3 - 1), abs=3)
    assert (len(merged.before), len(merged.now)) == (2, 1)
    assert (new.before, new.volume_before_mm3, new.volume_change_percent) == ([], 0, None)


def test_a_lesion_that_a_registration_just_missed_is_no_new_one():
    before, now = seen([((0, 0, 10), 2)]), seen([((0, 4, 10), 2)])
    assert not np.logical_and(before.labels.array, now.labels.array).any()
    assert [change.kind for change in changes(before, now)] == [ChangeKind.STABLE]
    apart = changes(before, seen([((0, 9, 10), 2)]))
    assert [change.kind for change in apart] == [ChangeKind.GONE, ChangeKind.NEW]


def test_lesions_that_only_graze_each_other_stay_two():
    before, now = seen([((0, 0, 10), 8)]), seen([((0, 0, 10), 8), ((0, 17, 10), 8.2)])
    shifted = np.eye(4)
    shifted[1, 3] = -0.8
    found = changes(before, now, shifted)
    assert [(change.kind, len(change.now)) for change in found] == [(ChangeKind.STABLE, 1), (ChangeKind.NEW, 1)]


def test_without_lesions_there_is_nothing_to_tell_and_with_one_side_all_is_new_or_gone():
    none, one = seen([]), seen([((0, 0, 10), 4)])
    assert changes(none, none) == []
    assert [change.kind for change in changes(none, one)] == [ChangeKind.NEW]
    assert [change.kind for change in changes(one, none)] == [ChangeKind.GONE]
