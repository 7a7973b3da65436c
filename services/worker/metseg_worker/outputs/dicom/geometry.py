"""Where slices and points of a volume lie in DICOM's terms: LPS millimetres, rows from the top (PS3.3, C.7.6.2).

The volume is one that came from a DICOM series: axis 0 along the rows, axis 1 against their order (decision 15).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.valuerep import format_number_as_ds

from metseg.imaging.volume import Volume

RAS_TO_LPS: Final = np.array((-1.0, -1.0, 1.0))


@dataclass(frozen=True)
class Place:
    """The plane of a slice as DICOM holds it, in decimal strings.

    Attributes:
        position_mm: Of the centre of the first pixel.
        orientation: Unit vectors along a row, then down a column.
        pixel_spacing_mm: Between rows, then between columns.
        slice_spacing_mm: To the next slice.
    """

    position_mm: list[str]
    orientation: list[str]
    pixel_spacing_mm: list[str]
    slice_spacing_mm: str


def place_of(volume: Volume, index: int) -> Place:
    """The plane of the slice at an index of axis 2."""
    columns_mm, rows_mm, slices_mm = volume.spacing_mm
    row = RAS_TO_LPS * volume.affine[:3, 0] / columns_mm
    column = -RAS_TO_LPS * volume.affine[:3, 1] / rows_mm
    [first] = lps_mm(volume, np.array([(0, volume.shape[1] - 1, index)]))
    return Place(
        position_mm=decimals(first),
        orientation=decimals((*row, *column)),
        pixel_spacing_mm=decimals((rows_mm, columns_mm)),
        slice_spacing_mm=decimals((slices_mm,))[0],
    )


def lps_mm(volume: Volume, ijk: NDArray[Any]) -> NDArray[np.float64]:
    """Voxel indices `(n, 3)`, also between voxels, to LPS millimetres `(n, 3)`."""
    return np.asarray(volume.world(ijk) * RAS_TO_LPS)


def decimals(values: Iterable[float]) -> list[str]:
    """Numbers as decimal strings of at most 16 characters (PS3.5, section 6.2)."""
    return [format_number_as_ds(float(value)) for value in values]
