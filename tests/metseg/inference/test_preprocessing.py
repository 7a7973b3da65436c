import numpy as np
import pytest
from phantoms import affine_of, centred, head_with_ball

from metseg.errors import UnsupportedInputError
from metseg.imaging.scan import Scan, ScanKind
from metseg.imaging.volume import Volume
from metseg.inference.preprocessing import prepare, rescale_grey
from metseg.inference.resampling import Axis, resampling_matrix
from metseg.schemas.model_card import Intensity, Preprocessing

RULES = Preprocessing()


def picture(columns, rows, *, has_spacing=False, spacing=1.0):
    array = np.random.default_rng(1).integers(0, 255, (columns, rows, 1), dtype=np.uint8)
    return Scan(Volume(array, np.diag([-spacing, -spacing, 1, 1])), ScanKind.PICTURE, has_spacing=has_spacing)


def head(shape=(60, 60, 40), spacing=(3.0, 3.0, 4.0)):
    affine = centred(affine_of(("L", "P", "S"), spacing), shape, np.zeros(3))
    return Scan(head_with_ball(shape, affine, np.array([20.0, 10, 5]), 9, 70), ScanKind.NIFTI)


def test_resampling_to_the_same_axis_changes_nothing():
    axis = Axis(7, 0.9, 3)
    np.testing.assert_allclose(resampling_matrix(axis, axis).toarray(), np.eye(7), atol=1e-6)


def test_resampling_keeps_a_straight_line_straight():
    source, target = Axis(50, 1.0), Axis(20, 1.7, 5)
    np.testing.assert_allclose(resampling_matrix(source, target) @ source.positions, target.positions, rtol=1e-5)


def test_what_lies_beyond_the_source_is_zero():
    weights = resampling_matrix(Axis(5, 1.0), Axis(3, 1.0, -7))
    assert weights.nnz == 0


def test_a_picture_is_fitted_with_its_aspect_kept():
    prepared = prepare(picture(512, 300), RULES)
    assert prepared.pixels.shape == (1, 256, 256)
    x, y = prepared.grid.window
    assert x.spacing == y.spacing == 2.0
    used = np.flatnonzero(prepared.pixels[0].any(axis=0))
    assert len(used) == pytest.approx(150, abs=2)


def test_a_picture_of_known_spacing_is_brought_to_the_cards_spacing():
    prepared = prepare(picture(300, 300, has_spacing=True, spacing=0.5), RULES)
    assert prepared.grid.window[0].spacing == RULES.spacing_mm


def test_a_lone_picture_fills_all_three_channels():
    (batch,) = prepare(picture(64, 64), RULES).batches(8)
    assert batch.shape == (1, 256, 256, 3)
    np.testing.assert_array_equal(batch[..., 0], batch[..., 2])


def test_the_channels_are_the_slice_below_the_slice_and_the_slice_above():
    prepared = prepare(head(), RULES)
    batches = np.concatenate(list(prepared.batches(5)))
    for row, z in enumerate(prepared.kept):
        np.testing.assert_array_equal(batches[row, ..., 1], prepared.pixels[z])
        np.testing.assert_array_equal(batches[row, ..., 0], prepared.pixels[max(z - 1, 0)])
        np.testing.assert_array_equal(batches[row, ..., 2], prepared.pixels[min(z + 1, len(prepared.pixels) - 1)])


def test_air_is_not_shown_to_the_network_and_comes_back_as_zero():
    scan = head()
    prepared = prepare(scan, RULES)
    assert 0 < len(prepared.kept) < scan.volume.shape[2]
    restored = prepared.restore(np.ones((len(prepared.kept), 256, 256), np.float32))
    air = np.setdiff1d(np.arange(scan.volume.shape[2]), prepared.kept)
    assert not restored.array[:, :, air].any()
    np.testing.assert_allclose(restored.array[:, :, prepared.kept], 1, atol=1e-5)


def test_a_label_taken_to_the_network_and_back_is_the_same_label():
    scan = head(shape=(150, 160, 20), spacing=(0.9, 0.9, 6.0))
    truth = scan.volume.array == scan.volume.array.max()
    prepared = prepare(scan, RULES)
    label = prepared.transfer(scan.volume.with_array(truth))
    back = prepared.restore(label[prepared.kept].astype(np.float32)).array >= 0.5
    assert 2 * (back & truth).sum() / (back.sum() + truth.sum()) > 0.95


def test_the_grey_values_do_not_depend_on_scale_or_offset():
    scan = head()
    scaled = Scan(scan.volume.with_array(scan.volume.array.astype(np.float32) * 7.5 + 300), ScanKind.NIFTI)
    difference = prepare(scan, RULES).pixels.astype(int) - prepare(scaled, RULES).pixels
    assert np.abs(difference).max() <= 1


def test_an_image_of_one_grey_is_refused():
    with pytest.raises(UnsupportedInputError, match="same value"):
        prepare(Scan(Volume(np.full((20, 20, 5), 7), np.eye(4)), ScanKind.NIFTI), RULES)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, np.float32])
def test_grey_values_are_scaled_again_by_the_very_percentiles_of_numpy(kind: type[np.generic]) -> None:
    values = np.random.default_rng(0).gamma(2, 50, (64, 64, 1)).clip(0, 255).astype(kind)
    values[:30] = 0
    dark, bright = np.percentile(values, (2, 98))
    head = values[values > dark + 0.1 * (bright - dark)]
    low, high = np.percentile(values, 0.5), np.percentile(head, 99.8)
    expected = np.rint(np.clip((values - low) * 255.0 / (high - low), 0, 255))
    scaled = rescale_grey(values, Intensity())
    assert scaled.dtype == np.uint8
    assert np.abs(scaled - expected).max() <= 1
    picture = Scan(Volume(values, np.eye(4)), ScanKind.PICTURE, has_spacing=False)
    np.testing.assert_array_equal(np.moveaxis(prepare(picture, Preprocessing(size=64)).pixels, 0, 2), scaled)
