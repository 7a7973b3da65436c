"""The promise of the project: what was seen at a place is marked at that place, in every grid."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from phantoms import ORIENTATIONS, affine_of, bright_is_lesion, card, centred, head_with_ball
from scipy.spatial.transform import Rotation

from metseg.imaging.scan import Scan, ScanKind
from metseg.imaging.volume import Volume
from metseg.inference.preprocessing import NetworkGrid
from metseg.inference.resampling import Axis
from metseg.inference.segment import segment

FIELD_MM = 150.0
HEAD_RADIUS_MM = 65.0


@st.composite
def scans_with_a_ball(draw):
    """A scan of any orientation, angle, spacing and size, with the place of its ball."""
    codes = draw(st.sampled_from(ORIENTATIONS))
    spacing = np.array([draw(st.floats(1.5, 4.0)) for _ in range(3)])
    spacing[draw(st.integers(0, 2))] = draw(st.floats(1.0, 7.0))
    angles = [draw(st.floats(-25, 25)) for _ in range(3)]
    affine = affine_of(codes, tuple(spacing), Rotation.from_euler("xyz", angles, degrees=True).as_matrix())
    shape = tuple(int(FIELD_MM / mm) + draw(st.integers(0, 9)) for mm in spacing)
    centre = np.array([draw(st.floats(-100, 100)) for _ in range(3)])
    affine = centred(affine, shape, centre)
    radius = max(8.0, 1.5 * spacing.max())
    direction = np.array([draw(st.floats(-1, 1)) for _ in range(3)])
    reach = (HEAD_RADIUS_MM - radius - 5) / max(1.0, float(np.linalg.norm(direction)))
    return codes, affine, shape, centre + direction * reach, radius


def found_centre(volume: Volume) -> tuple[np.ndarray, Volume]:
    result = segment(Scan(volume, ScanKind.NIFTI), card(), bright_is_lesion)
    assert result.lesions, "the ball was not found at all"
    return np.array(result.lesions[0].centroid_ras_mm), result.mask


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(scans_with_a_ball())
def test_a_ball_is_found_where_it_lies_in_every_grid(case):
    _, affine, shape, ball, radius = case
    volume = head_with_ball(shape, affine, ball, radius, HEAD_RADIUS_MM)
    centre, mask = found_centre(volume)
    assert mask.shape == volume.shape
    np.testing.assert_array_equal(mask.affine, volume.affine)
    off_in_voxels = np.abs(volume.voxel(centre[None]) - volume.voxel(ball[None]))
    assert off_in_voxels.max() < 1.0


@pytest.mark.parametrize("codes", ORIENTATIONS, ids="".join)
def test_left_and_right_are_never_exchanged(codes):
    spacing, shape = (3.0, 3.0, 3.0), (50, 50, 50)
    affine = centred(affine_of(codes, spacing), shape, np.zeros(3))
    ball = np.array([36.0, 15.0, -21.0])
    centre, _ = found_centre(head_with_ball(shape, affine, ball, 9.0, HEAD_RADIUS_MM))
    assert np.linalg.norm(centre - ball) < 1.0


def test_the_mask_covers_the_ball_to_within_its_rim():
    shape, affine = (
        (151, 163, 61),
        centred(affine_of(("L", "P", "S"), (1.1, 1.1, 3.0)), (151, 163, 61), np.zeros(3)),
    )
    volume = head_with_ball(shape, affine, np.array([30.0, -20.0, 9.0]), 12.0, HEAD_RADIUS_MM)
    _, mask = found_centre(volume)
    truth = volume.array == volume.array.max()
    dice = 2 * (truth & (mask.array > 0)).sum() / (truth.sum() + mask.array.sum())
    assert dice > 0.93


def test_a_head_larger_than_the_window_is_seen_whole():
    shape = (200, 200, 60)
    affine = centred(affine_of(("L", "P", "S"), (2.0, 2.0, 2.0)), shape, np.zeros(3))
    ball = np.array([150.0, 60.0, 10.0])
    volume = head_with_ball(shape, affine, ball, 12.0, 180.0)
    result = segment(Scan(volume, ScanKind.NIFTI), card(), bright_is_lesion)
    assert result.coarsened
    assert np.linalg.norm(np.array(result.lesions[0].centroid_ras_mm) - ball) < 2.0


def test_a_small_head_in_a_large_field_of_view_is_seen_at_the_cards_spacing():
    shape = (300, 300, 40)
    affine = centred(affine_of(("R", "A", "S"), (1.5, 1.5, 3.0)), shape, np.zeros(3))
    array = np.zeros(shape, np.int16)
    array[220:290, 10:80, 5:35] = 100
    array[250:260, 30:40, 15:20] = 1000
    result = segment(Scan(Volume(array, affine), ScanKind.NIFTI), card(), bright_is_lesion)
    assert not result.coarsened
    inside = np.argwhere(result.mask.array > 0)
    np.testing.assert_allclose(inside.mean(axis=0), (254.5, 34.5, 17.0), atol=0.5)


def test_the_proof_fails_when_the_inverse_is_broken(monkeypatch):
    """The property test above must be able to fail: move the window by two pixels on the way back only."""

    def displaced(self, slices):
        x, y = self.window
        moved = NetworkGrid(self.source, (Axis(x.count, x.spacing, x.start + 2 * x.spacing), y))
        return to_source(moved, slices)

    to_source = NetworkGrid.to_source
    monkeypatch.setattr(NetworkGrid, "to_source", displaced)
    with pytest.raises(AssertionError):
        test_a_ball_is_found_where_it_lies_in_every_grid()
