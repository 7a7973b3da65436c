"""Outlines follow pixel edges: filled again, they are the mask, holes and all."""

import numpy as np
import pytest
from outline_filling import filled

from metseg_worker.outputs.dicom.contours import outlines


def test_outlines_of_any_mask_give_it_back():
    rng = np.random.default_rng(3)
    for _ in range(150):
        mask = rng.random(rng.integers(1, 12, 2)) < rng.random()
        np.testing.assert_array_equal(filled(outlines(mask), mask.shape), mask)


def test_a_pixel_is_outlined_by_its_four_corners():
    mask = np.zeros((4, 3), bool)
    mask[2, 1] = True
    [outline] = outlines(mask)
    assert sorted(outline.tolist()) == [[2, 1], [2, 2], [3, 1], [3, 2]]


def test_a_ring_is_one_outline_with_a_keyhole_there_and_back():
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    [outline] = outlines(mask)
    assert outline.tolist().count([0, 2]) == 2
    assert area(outline) == 24


@pytest.mark.parametrize(("pixels", "parts"), [([(0, 0), (1, 1)], 2), ([(0, 0), (1, 0), (1, 1)], 1)])
def test_pixels_that_touch_by_a_corner_alone_have_outlines_of_their_own(pixels, parts):
    mask = np.zeros((3, 3), bool)
    mask[tuple(zip(*pixels, strict=True))] = True
    assert len(outlines(mask)) == parts


def test_an_empty_mask_has_no_outline():
    assert outlines(np.zeros((3, 3), bool)) == []


def area(outline: np.ndarray) -> float:
    x, y = outline.T.astype(float)
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
