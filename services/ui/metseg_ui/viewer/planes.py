"""The three anatomical planes, shown in radiological convention: the patient's left is on the right.

Arrays here are `(x, y, z)` on a grid in RAS+ order (`Volume.to_ras()`); slices are
`(rows, columns)` as shown.
"""

from enum import StrEnum
from typing import Any, NamedTuple

from numpy.typing import NDArray


class Plane(StrEnum):
    """A direction of slicing."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"

    @property
    def axis(self) -> int:
        """The array axis that counts this plane's slices."""
        return {"sagittal": 0, "coronal": 1, "axial": 2}[self.value]

    @property
    def edges(self) -> "Edges":
        """The anatomical direction at each edge of a slice as shown."""
        return _EDGES[self]

    @classmethod
    def of_axis(cls, axis: int) -> "Plane":
        """The plane whose slices that array axis counts."""
        return next(plane for plane in cls if plane.axis == axis)


class Edges(NamedTuple):
    """Letters at the edges of a slice."""

    left: str
    right: str
    top: str
    bottom: str


_EDGES = {
    Plane.AXIAL: Edges("R", "L", "A", "P"),
    Plane.CORONAL: Edges("R", "L", "S", "I"),
    Plane.SAGITTAL: Edges("A", "P", "S", "I"),
}


def plane_slice(array: NDArray[Any], plane: Plane, index: int) -> NDArray[Any]:
    """Slice `index` of a RAS+ array as `(rows, columns)`: head or front up, see `Plane.edges`."""
    shown: NDArray[Any] = array.take(index, axis=plane.axis).T[::-1, ::-1]
    return shown


def pixel_mm(spacing_mm: tuple[float, float, float], plane: Plane) -> tuple[float, float]:
    """Distance between rows and between columns of that plane's slices, in mm."""
    across, down = (axis for axis in range(3) if axis != plane.axis)
    return spacing_mm[down], spacing_mm[across]
