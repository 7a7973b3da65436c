"""Where the slices of a series lie: one even grid, or a refusal that says why there is none.

The grid is the one that `dcm2niix -x i` gives the same series, so that results fit what others have made of it:
axis 0 runs along the rows of the images, axis 1 against the order of the rows, and axis 2 along the cross product
of both directions.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from metseg.errors import GeometryError
from metseg.imaging.series_errors import (
    DuplicateSlicesError,
    MissingSlicesError,
    MixedSlicesError,
    TiltedSlicesError,
    UnevenSlicesError,
)
from metseg_worker.readers.dicom.planes import Plane

SAME_DIRECTION: Final = 1e-3
"""Largest difference of two direction cosines that count as one; over 250 mm it moves a voxel by 0.25 mm."""
SAME_PLACE_MM: Final = 0.01
"""Slices closer than this lie at one place; no scanner makes them so thin."""
EVEN: Final = 0.02
"""Share of the usual distance by which a slice, or its distance to the next, may be off."""
ROUNDED_MM: Final = 0.12
"""How far a slice may lie from the line through all: some headers round each coordinate to 0.1 mm, which moves a
slice by up to 0.087 mm, and the fitted line a little, too."""
MOST_ROUNDED: Final = 0.2
"""Share of the usual distance that `ROUNDED_MM` is never more than; a missing slice moves one by 0.33 at least."""
MOST_TILT: Final = 0.005
"""Shift of a slice against the one below it, as a share of their distance; 0.3 degrees."""

LPS_TO_RAS: Final = np.diag((-1.0, -1.0, 1.0, 1.0))


def ordered(planes: Sequence[Plane]) -> list[Plane]:
    """The slices in the order of axis 2.

    Raises:
        GeometryError: a direction is no unit vector, or the two of a slice are not perpendicular.
        MixedSlicesError: orientation or pixel spacing differ.
    """
    _check_directions(planes[0])
    for plane in planes:
        directions = np.subtract(_directions(plane), _directions(planes[0]))
        if np.abs(directions).max() > SAME_DIRECTION:
            raise MixedSlicesError(
                "expected slices of one orientation, got several in one series (a localizer?); send one alone"
            )
        if not np.allclose(plane.spacing_mm, planes[0].spacing_mm, rtol=1e-4, atol=0):
            raise MixedSlicesError("expected slices of one pixel spacing, got several in one series")
    normal = _normal(planes[0])
    return sorted(planes, key=lambda plane: float(np.dot(normal, plane.position_mm)))


def affine_of(planes: Sequence[Plane], rows: int) -> NDArray[np.float64]:
    """The affine of ordered slices.

    Args:
        planes: As `ordered` gives them.
        rows: How many rows a slice has; axis 1 starts at the last.

    Returns:
        (4, 4), voxel index to RAS+ millimetres.

    Raises:
        DuplicateSlicesError: two slices lie at one place.
        MissingSlicesError, UnevenSlicesError: the distances between them differ.
        TiltedSlicesError: they are shifted against each other.
        GeometryError: a lone slice does not say how thick it is.
    """
    first = planes[0]
    along, down = _steps(first)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = along, -down
    start, affine[:3, 2] = _line(planes)
    affine[:3, 3] = start + (rows - 1) * down
    return np.asarray(LPS_TO_RAS @ affine)


def _steps(plane: Plane) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From one pixel to the next of its row, and to the next of its column."""
    return (
        np.array(plane.row_direction) * plane.spacing_mm[0],
        np.array(plane.column_direction) * plane.spacing_mm[1],
    )


def _line(planes: Sequence[Plane]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The position of the first slice and the step to the next, fitted to the positions of all."""
    normal = _normal(planes[0])
    positions = np.array([plane.position_mm for plane in planes])
    if len(planes) == 1:
        step_mm = planes[0].step_mm
        if not step_mm:
            raise GeometryError("expected a lone slice to state its thickness, but it does not")
        return positions[0], normal * step_mm
    _check_distances(positions @ normal)
    indices = np.arange(len(planes), dtype=np.float64)
    start, step = _fitted(indices, positions)
    height_mm = float(step @ normal)
    shift_mm = float(np.linalg.norm(step - normal * height_mm))
    if shift_mm > MOST_TILT * height_mm and shift_mm * (len(planes) - 1) > 2 * ROUNDED_MM:
        degrees = float(np.degrees(np.arctan2(shift_mm, height_mm)))
        raise TiltedSlicesError(
            f"expected slices that lie straight above each other, but they are tilted by {degrees:.1f} degrees"
        )
    strayed = positions - start - np.outer(indices, step)
    if float(np.abs(strayed @ np.transpose(_directions(planes[0]))).max()) > ROUNDED_MM:
        raise MixedSlicesError("expected slices that lie straight above each other, but some stand aside")
    return start, step


def _check_distances(heights_mm: NDArray[np.float64]) -> None:
    """Raise where slices, given their heights along the normal in order, do not follow each other evenly."""
    distances_mm = np.diff(heights_mm)
    same = int((distances_mm < SAME_PLACE_MM).sum())
    if same:
        raise DuplicateSlicesError(
            f"expected one image at each place, but {same} of {len(heights_mm)} lie where another one does: "
            "copies, echoes or points in time"
        )
    usual_mm = float(np.median(distances_mm))
    even = np.arange(len(heights_mm), dtype=np.float64)
    if np.abs(distances_mm / usual_mm - 1).max() <= EVEN or _lie_on_line(even, heights_mm):
        return
    with_gaps = np.concatenate([[0.0], np.cumsum(np.rint(distances_mm / usual_mm))])
    missing = int(with_gaps[-1]) - len(distances_mm)
    if missing > 0 and _lie_on_line(with_gaps, heights_mm):
        step_mm = float(_fitted(with_gaps, heights_mm)[1])
        raise MissingSlicesError(f"expected a slice every {step_mm:.2f} mm, but {missing} of them did not come")
    raise UnevenSlicesError(
        f"expected even distances between slices, but they run from {distances_mm.min():.2f} to "
        f"{distances_mm.max():.2f} mm"
    )


def _lie_on_line(indices: NDArray[np.float64], heights_mm: NDArray[np.float64]) -> bool:
    start_mm, step_mm = _fitted(indices, heights_mm)
    off_mm = float(np.abs(heights_mm - start_mm - indices * step_mm).max())
    return off_mm <= max(EVEN * float(step_mm), min(ROUNDED_MM, MOST_ROUNDED * float(step_mm)))


def _fitted(indices: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[Any, Any]:
    """The value at index 0 and the step of the line that fits best, by least squares."""
    middle = indices - indices.mean()
    step = middle @ values / (middle @ middle)
    return values.mean(axis=0) - indices.mean() * step, step


def _directions(plane: Plane) -> NDArray[np.float64]:
    return np.array((plane.row_direction, plane.column_direction))


def _normal(plane: Plane) -> NDArray[np.float64]:
    return np.cross(*_directions(plane))


def _check_directions(plane: Plane) -> None:
    products = _directions(plane) @ _directions(plane).T
    if not np.allclose(products, np.eye(2), atol=SAME_DIRECTION):
        raise GeometryError("expected an orientation of two unit vectors at right angles, got another")
