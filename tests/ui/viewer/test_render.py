"""Drawing: windows, outlines, proportions and letters, on arrays small enough to check by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from metseg_ui.viewer.planes import Plane, pixel_mm, plane_slice
from metseg_ui.viewer.render import (
    CHOSEN,
    LESION,
    MARGIN_PX,
    Look,
    MaskStyle,
    Slice,
    coloured,
    draw,
    fitted_size,
    outline,
    windowed,
)

LOOK = Look(centre=50, width=100)
CANVAS = (300, 400)


def has_colour(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.all(picture == colour, axis=-1)


def blank_slice(labels: NDArray[np.int_], *, pixel_mm: tuple[float, float] = (1.0, 1.0)) -> Slice:
    return Slice(np.zeros(labels.shape), labels, pixel_mm, edges=None, has_spacing=False)


def test_a_window_maps_its_ends_to_black_and_white() -> None:
    grey = windowed(np.array([[-5.0, 0.0, 50.0, 100.0, 900.0]]), LOOK)
    assert grey.tolist() == [[0, 0, 128, 255, 255]]


def test_a_window_without_width_is_black_and_white() -> None:
    assert windowed(np.array([[49.0, 51.0]]), Look(50, 0)).tolist() == [[0, 255]]


def test_an_outline_is_the_rim_of_the_lesion_inside_the_lesion() -> None:
    labels = np.zeros((7, 7), np.int32)
    labels[1:6, 1:6] = 1
    rim = outline(labels, 1)
    assert rim.sum() == 16
    assert not rim[2:5, 2:5].any()
    assert not rim[labels == 0].any()


def test_an_outline_grows_inwards() -> None:
    labels = np.zeros((9, 9), np.int32)
    labels[1:8, 1:8] = 1
    assert outline(labels, 2).sum() == 49 - 9


def test_a_lesion_at_the_border_is_closed_there() -> None:
    labels = np.zeros((5, 5), np.int32)
    labels[:3, :3] = 1
    rim = outline(labels, 1)
    assert rim[0, :3].all()
    assert rim[:3, 0].all()
    assert not rim[1, 1]


def test_a_lesion_that_fills_the_slice_is_outlined_along_its_border() -> None:
    rim = outline(np.ones((4, 5), np.int32), 1)
    assert rim.sum() == 14
    assert not rim[1:-1, 1:-1].any()


def test_two_lesions_that_touch_are_outlined_each() -> None:
    labels = np.zeros((5, 8), np.int32)
    labels[:, :4], labels[:, 4:] = 1, 2
    assert outline(labels, 1)[2].tolist() == [True, False, False, True, True, False, False, True]


def test_no_lesion_has_no_outline() -> None:
    assert not outline(np.zeros((4, 4), np.int32)).any()


def test_a_fill_mixes_its_colour_in_by_its_opacity() -> None:
    picture = coloured(
        np.full((1, 2), 100, np.uint8), np.array([[0, 1]]), Look(50, 100, MaskStyle.FILL, opacity=0.5)
    )
    assert picture[0, 0].tolist() == [100, 100, 100]
    assert picture[0, 1].tolist() == [round(100 * 0.5 + part * 0.5) for part in LESION]


def test_the_chosen_lesion_stands_out() -> None:
    picture = coloured(np.zeros((1, 2), np.uint8), np.array([[1, 2]]), Look(50, 100, MaskStyle.FILL, chosen=2))
    assert picture[0].tolist() == [list(LESION), list(CHOSEN)]


def test_without_mask_the_image_stays_grey() -> None:
    labels = np.zeros((40, 40), int)
    labels[10:30, 10:30] = 1
    picture = draw(blank_slice(labels), Look(50, 100, MaskStyle.OFF), CANVAS)
    assert np.ptp(picture, axis=-1).max() == 0


def test_a_drawn_outline_encloses_the_lesion_where_it_lies() -> None:
    labels = np.zeros((40, 40), int)
    labels[4:12, 24:36] = 1
    found = np.argwhere(has_colour(draw(blank_slice(labels), LOOK, CANVAS), LESION))
    size, scale = fitted_size((40, 40), (1.0, 1.0), CANVAS)
    corner = np.array([(CANVAS[0] - size[0]) / 2, (CANVAS[1] - size[1]) / 2])
    assert np.median(found, axis=0) == pytest.approx(corner + np.array([8, 30]) * scale, abs=3 * scale)


def test_a_lesion_is_numbered_in_the_picture() -> None:
    labels = np.zeros((60, 60), int)
    labels[30:40, 10:20] = 3
    plain = coloured(np.zeros((60, 60), np.uint8), labels, LOOK)
    drawn = draw(blank_slice(labels), LOOK, CANVAS)
    away_from_lesion = drawn[: int(0.47 * CANVAS[0])]
    assert has_colour(away_from_lesion, LESION).any()
    assert not has_colour(plain[:28], LESION).any()


def test_an_anisotropic_slice_has_its_true_proportions() -> None:
    size, scale = fitted_size((20, 100), (5.0, 1.0), CANVAS)
    assert size[0] == size[1]
    assert scale == pytest.approx((CANVAS[0] - 2 * MARGIN_PX) / 100)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (16, 16)])
def test_any_slice_fills_the_canvas_and_no_more(shape: tuple[int, int]) -> None:
    picture = draw(blank_slice(np.ones(shape, int)), LOOK, CANVAS)
    assert picture.shape == (*CANVAS, 3)
    assert picture.dtype == np.uint8


def test_letters_and_scale_appear_only_where_they_are_known() -> None:
    labels = np.zeros((40, 40), int)
    unknown = draw(blank_slice(labels), LOOK, CANVAS)
    known = draw(Slice(np.zeros((40, 40)), labels, (1.0, 1.0), Plane.AXIAL.edges, has_spacing=True), LOOK, CANVAS)
    assert not unknown.any()
    left_margin, right_margin = known[:, : CANVAS[1] // 4], known[:, -CANVAS[1] // 4 :]
    assert left_margin.any()
    assert right_margin.any()


@pytest.mark.parametrize(
    ("plane", "right_edge", "top_edge"),
    [(Plane.AXIAL, "x-", "y+"), (Plane.CORONAL, "x-", "z+"), (Plane.SAGITTAL, "y-", "z+")],
)
def test_slices_are_in_radiological_convention(plane: Plane, right_edge: str, top_edge: str) -> None:
    """In RAS+, x- is the patient's left, y+ the front, z+ the head."""
    x, y, z = np.indices((5, 6, 7))
    grown = {"x": x, "y": y, "z": z}
    for edge, picked in ((right_edge, (slice(None), -1)), (top_edge, (0, slice(None)))):
        values = grown[edge[0]]
        expected = values.max() if edge[1] == "+" else 0
        assert (plane_slice(values, plane, 2)[picked] == expected).all()
    assert (plane_slice(grown["xyz"[plane.axis]], plane, 2) == 2).all()


def test_letters_name_the_directions_that_slices_have() -> None:
    assert Plane.AXIAL.edges == ("R", "L", "A", "P")
    assert Plane.CORONAL.edges == ("R", "L", "S", "I")
    assert Plane.SAGITTAL.edges == ("A", "P", "S", "I")


def test_pixels_are_as_high_and_wide_as_the_voxels_seen() -> None:
    spacing_mm = (1.0, 2.0, 3.0)
    assert pixel_mm(spacing_mm, Plane.AXIAL) == (2.0, 1.0)
    assert pixel_mm(spacing_mm, Plane.CORONAL) == (3.0, 1.0)
    assert pixel_mm(spacing_mm, Plane.SAGITTAL) == (3.0, 2.0)


@pytest.mark.parametrize("plane", Plane)
def test_a_plane_is_found_again_by_its_axis(plane: Plane) -> None:
    assert Plane.of_axis(plane.axis) is plane
