"""Where the slices of a series lie: one even grid, or a refusal that says why there is none.

The grid is the one that dcm2niix gives the same series, so that results fit what others have made of it: axis 0
runs along the rows of the images, axis 1 against the order of the rows, and axis 2 along the cross product of both
directions.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metseg.errors import GeometryError
from metseg.series_errors import (
    DuplicateSlicesError,
    MissingSlicesError,
    MixedSlicesError,
    TiltedSlicesError,
    UnevenSlicesError,
)
from metseg_worker.dicom_headers import Plane

SAME_DIRECTION: Final = 1e-3
"""Largest difference of two direction cosines that count as one; over 250 mm it moves a voxel by 0.25 mm."""
SAME_PLACE_MM: Final = 0.01
"""Slices closer than this lie at one place; no scanner makes them so thin."""
EVEN: Final = 0.02
"""Share of the usual distance by which a slice may be off: headers round positions, often to 0.01 mm."""
WHOLE_GAP: Final = 0.05
"""Share of the usual distance by which a gap may differ from a whole number of slices and still be one."""
MOST_TILT: Final = 0.005
"""Shift of a slice against the one below it, as a share of their distance; 0.3 degrees."""

MOST_ASIDE_MM: Final = 0.1
"""How far a slice may lie beside the line through the first and the last."""

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
    affine[:3, 2] = _slice_step(planes)
    affine[:3, 3] = np.array(first.position_mm) + (rows - 1) * down
    return np.asarray(LPS_TO_RAS @ affine)


def _steps(plane: Plane) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From one pixel to the next of its row, and to the next of its column."""
    return (
        np.array(plane.row_direction) * plane.spacing_mm[0],
        np.array(plane.column_direction) * plane.spacing_mm[1],
    )


def _slice_step(planes: Sequence[Plane]) -> NDArray[np.float64]:
    normal = _normal(planes[0])
    if len(planes) == 1:
        step_mm = planes[0].step_mm
        if not step_mm:
            raise GeometryError("expected a lone slice to state its thickness, but it does not")
        return normal * step_mm
    positions = np.array([plane.position_mm for plane in planes])
    _check_distances(np.diff(positions @ normal))
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (len(planes) - 1)
    shift_mm = float(np.linalg.norm(step - normal * (step @ normal)))
    if shift_mm > MOST_TILT * float(step @ normal):
        degrees = float(np.degrees(np.arctan2(shift_mm, step @ normal)))
        raise TiltedSlicesError(
            f"expected slices that lie straight above each other, but they are tilted by {degrees:.1f} degrees"
        )
    strayed = positions - positions[0] - np.outer(np.arange(len(planes)), step)
    if float(np.abs(strayed @ np.transpose(_directions(planes[0]))).max()) > MOST_ASIDE_MM:
        raise MixedSlicesError("expected slices that lie straight above each other, but some stand aside")
    return step


def _check_distances(distances_mm: NDArray[np.float64]) -> None:
    same = int((distances_mm < SAME_PLACE_MM).sum())
    if same:
        raise DuplicateSlicesError(
            f"expected one image at each place, but {same} of {len(distances_mm) + 1} lie where another one does: "
            "copies, echoes or points in time"
        )
    usual_mm = float(np.median(distances_mm))
    slices = distances_mm / usual_mm
    if np.abs(slices - 1).max() <= EVEN:
        return
    if np.abs(slices - np.rint(slices)).max() <= WHOLE_GAP:
        missing = int((np.rint(slices) - 1).sum())
        raise MissingSlicesError(f"expected a slice every {usual_mm:.2f} mm, but {missing} of them did not come")
    raise UnevenSlicesError(
        f"expected even distances between slices, but they run from {distances_mm.min():.2f} to "
        f"{distances_mm.max():.2f} mm"
    )


def _directions(plane: Plane) -> NDArray[np.float64]:
    return np.array((plane.row_direction, plane.column_direction))


def _normal(plane: Plane) -> NDArray[np.float64]:
    return np.cross(*_directions(plane))


def _check_directions(plane: Plane) -> None:
    products = _directions(plane) @ _directions(plane).T
    if not np.allclose(products, np.eye(2), atol=SAME_DIRECTION):
        raise GeometryError("expected an orientation of two unit vectors at right angles, got another")
