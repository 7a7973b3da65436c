"""Where the slices of a DICOM image lie, as its header tells it: LPS millimetres (PS3.3, C.7.6.2)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset
from pydicom.multival import MultiValue

from metseg.errors import DamagedInputError, GeometryError

GEOMETRY: Final = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept"),
)


@dataclass(frozen=True)
class Plane:
    """One slice and where its header puts it.

    Attributes:
        path: Its file.
        frame: Its number in that file, from 0.
        position_mm: LPS place of the centre of the first pixel.
        row_direction: Unit vector (LPS) along which the columns follow each other.
        column_direction: Unit vector (LPS) along which the rows follow each other.
        spacing_mm: Distance between columns and between rows.
        step_mm: Distance to the next slice as the header tells it, else the slice's thickness; None if neither.
        slope: Stored values times this, plus `intercept`, are the slice's values.
        intercept: See `slope`.
    """

    path: Path
    frame: int
    position_mm: tuple[float, ...]
    row_direction: tuple[float, ...]
    column_direction: tuple[float, ...]
    spacing_mm: tuple[float, float]
    step_mm: float | None
    slope: float
    intercept: float


def planes_of(path: Path, header: Dataset) -> Iterator[Plane]:
    """Return the slices of an image, frame by frame.

    Raises:
        DamagedInputError: There are fewer or more functional groups than frames.
        GeometryError: A slice does not say where it lies.
    """
    frames = int(header.get("NumberOfFrames") or 1)
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if groups is None and frames > 1:
        raise GeometryError("expected each of several frames to say where it lies, but they do not")
    if groups is not None and len(groups) != frames:
        raise DamagedInputError(f"expected one functional group a frame, got {len(groups)} for {frames} frames")
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    for frame in range(frames):
        yield _plane(path, frame, [header] if groups is None else [*macros_of(groups[frame]), *macros_of(shared)])


def macros_of(group: Dataset) -> Iterator[Dataset]:
    """The macros of a functional group (PS3.3, C.7.6.16), of which each is a sequence of one item."""
    for element in group:
        if element.VR == "SQ" and len(element.value) == 1:
            yield element.value[0]


def _plane(path: Path, frame: int, places: list[Dataset]) -> Plane:
    found: dict[str, Any] = {}
    for name in GEOMETRY:
        found[name] = next((one.get(name) for one in places if one.get(name) is not None), None)
    position, spacing = _floats(found["ImagePositionPatient"], 3), _floats(found["PixelSpacing"], 2)
    directions = _floats(found["ImageOrientationPatient"], 6)
    step = found["SpacingBetweenSlices"] or found["SliceThickness"]
    return Plane(
        path=path,
        frame=frame,
        position_mm=position,
        row_direction=directions[:3],
        column_direction=directions[3:],
        spacing_mm=(spacing[1], spacing[0]),
        step_mm=None if step is None else abs(float(step)),
        slope=1.0 if found["RescaleSlope"] is None else float(found["RescaleSlope"]),
        intercept=0.0 if found["RescaleIntercept"] is None else float(found["RescaleIntercept"]),
    )


def _floats(value: object, count: int) -> tuple[float, ...]:
    if not isinstance(value, MultiValue) or len(value) != count:
        raise GeometryError("expected each slice to state its position, orientation and pixel spacing")
    floats = tuple(float(one) for one in value)
    if not all(map(math.isfinite, floats)):
        raise GeometryError("expected a finite position, orientation and pixel spacing, got another")
    return floats
