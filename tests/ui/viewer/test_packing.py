"""What the browser gets is the scan, voxel for voxel; windows follow the brain."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from metseg.imaging.scan import Scan, ScanKind
from metseg.imaging.volume import Volume
from metseg_ui.viewer.packing import FINEST, PackedArray, pack_labels, pack_scan
from metseg_ui.viewer.study import combine

SHAPES = arrays.array_shapes(min_dims=3, max_dims=3, max_side=5)


def unpacked(packed: PackedArray, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """As browser/viewer.js reads it."""
    stored = np.frombuffer(gzip.decompress(packed.content), np.dtype(packed.kind).newbyteorder("<"))
    return stored.reshape(shape, order="F") * packed.slope + packed.intercept


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["u1", "i2", "u2", "i4"]).flatmap(lambda kind: arrays.arrays(kind, SHAPES)))
def test_whole_numbers_of_16_bits_come_back_and_others_within_a_step(array: NDArray[np.integer]) -> None:
    packed = pack_scan(array)
    back = unpacked(packed, array.shape)
    if array.min() >= -32768 and array.max() <= 32767:
        np.testing.assert_array_equal(back, array)
        assert packed.kind == ("uint8" if array.min() >= 0 and array.max() <= 255 else "int16")
    else:
        assert np.abs(back - array).max() <= (float(array.max()) - float(array.min())) / FINEST


@settings(max_examples=40, deadline=None)
@given(arrays.arrays("f4", SHAPES, elements=st.floats(-1e4, 1e4, width=32)))
def test_real_numbers_come_back_within_half_a_step(array: NDArray[np.float32]) -> None:
    back = unpacked(pack_scan(array), array.shape)
    assert np.abs(back - array).max() <= 0.51 * (float(array.max()) - float(array.min())) / FINEST + 1e-3


@pytest.mark.parametrize(("most", "kind"), [(255, "uint8"), (256, "uint16")])
def test_lesions_keep_their_numbers(most: int, kind: str) -> None:
    labels = np.zeros((3, 4, 5), np.uint16)
    labels[1, 2, 3] = most
    packed = pack_labels(labels)
    assert packed.kind == kind
    np.testing.assert_array_equal(unpacked(packed, labels.shape), labels)


def test_the_enhancement_window_is_that_of_the_brain_and_not_of_a_bright_rim() -> None:
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 60)] * 3, indexing="ij")
    out = np.sqrt(x**2 + y**2 + z**2)
    array = np.select([out < 0.75, out < 0.9], [100 + 10 * np.sin(20 * x), 900], 0).astype(np.int16)
    volume = Volume(array, np.eye(4))
    scan = Scan(volume, ScanKind.NIFTI)
    windows = combine(scan, Scan(volume.with_array(array * 0), ScanKind.NIFTI), []).windows
    assert windows["Enhancement"].high < 120 < windows["Standard"].high
