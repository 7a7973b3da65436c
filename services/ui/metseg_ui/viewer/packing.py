"""A study as the browser gets it: facts in a few lines of JSON, voxels as compressed arrays.

Arrays are (x, y, z) on the RAS+ grid of the study, x fastest, compressed by gzip.
"""

import gzip
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from metseg.schemas.report import Lesion, Report
from metseg_ui.viewer.planes import Plane
from metseg_ui.viewer.study import Study, Window

LEVEL: Final = 4
"""Of gzip, below the usual 6: a result is packed while a reader waits for it."""
FINEST: Final = 32_000
"""Steps into which grey values that are no 16-bit numbers are divided."""


@dataclass(frozen=True)
class PackedArray:
    """Voxels, and what their numbers are.

    Attributes:
        content: Compressed.
        kind: Name of the numbers' type, as NumPy has it.
        slope, intercept: Grey value = number × slope + intercept.
    """

    content: bytes
    kind: str
    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True, eq=False)
class ViewedStudy:
    """What page and browser show of a job.

    Attributes:
        report: Its report.
        shape: (x, y, z) on the RAS+ grid.
        spacing_mm: Of its voxels.
        planes: Worth looking at: one for a picture, else three.
        is_picture, has_spacing, knows_sides: As of `Study`.
        windows: Ranges of grey values, the usual one first.
        measured: By lesion, the plane and the slice, from 0, in which its diameters were measured.
        places: By lesion, the voxel (x, y, z) at which planes show it.
        scan, labels: The voxels.
    """

    report: Report
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    planes: tuple[Plane, ...]
    is_picture: bool
    has_spacing: bool
    knows_sides: bool
    windows: dict[str, Window]
    measured: dict[int, tuple[Plane, int]]
    places: dict[int, tuple[int, int, int]]
    scan: PackedArray
    labels: PackedArray

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return len(self.scan.content) + len(self.labels.content)

    def measured_at(self, lesion: Lesion) -> tuple[Plane, int]:
        """The plane and slice in which the lesion's diameters were measured."""
        return self.measured[lesion.label]


def pack(report: Report, study: Study) -> ViewedStudy:
    """Keep of a study what is shown of it."""
    x, y, z = study.scan.shape
    return ViewedStudy(
        report=report,
        shape=(x, y, z),
        spacing_mm=study.scan.spacing_mm,
        planes=study.planes,
        is_picture=study.is_picture,
        has_spacing=study.has_spacing,
        knows_sides=study.knows_sides,
        windows=study.windows,
        measured={lesion.label: study.measured_at(lesion) for lesion in report.lesions},
        places={lesion.label: _place(study, lesion) for lesion in report.lesions},
        scan=pack_scan(study.scan.array),
        labels=pack_labels(study.labels),
    )


def pack_scan(array: NDArray[Any]) -> PackedArray:
    """Grey values: as they are where they are 16-bit numbers, else in `FINEST` steps."""
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind in "biu" and low >= 0 and high <= 255:
        return _packed(array, np.uint8)
    if array.dtype.kind in "biu" and low >= -32768 and high <= 32767:
        return _packed(array, np.int16)
    step = (high - low) / FINEST or 1.0
    return _packed(np.rint((array.astype(np.float64) - low) / step), np.int16, step, low)


def pack_labels(labels: NDArray[Any]) -> PackedArray:
    """Numbers of lesions."""
    return _packed(labels, np.uint8 if labels.max() <= 255 else np.uint16)


def _packed(
    array: NDArray[Any], kind: type[np.integer[Any]], slope: float = 1.0, intercept: float = 0.0
) -> PackedArray:
    stored = array.astype(np.dtype(kind).newbyteorder("<"))
    return PackedArray(
        gzip.compress(stored.tobytes(order="F"), LEVEL, mtime=0), np.dtype(kind).name, slope, intercept
    )


def _place(study: Study, lesion: Lesion) -> tuple[int, int, int]:
    x, y, z = (study.best_slice(lesion, Plane.of_axis(axis)) for axis in range(3))
    return x, y, z
