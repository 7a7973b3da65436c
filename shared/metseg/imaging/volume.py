"""A voxel array that knows where it lies in the patient.

Axes: an array is `(x, y, z)` in the order it is stored; its affine takes voxel indices (the centre of the first
voxel is 0, 0, 0) to millimetres in RAS+ patient space (x to the patient's right, y to the front, z to the head),
as NIfTI-1 defines it. Only this module and the readers turn one axis order into another.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from nibabel import orientations
from numpy.typing import NDArray

from metseg.errors import GeometryError, NotFiniteError, UnsupportedInputError

SMALLEST_SPACING_MM = 1e-3
LARGEST_SPACING_MM = 1e3

AxisCodes = tuple[str, str, str]


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3-D array with its affine; once made, it is valid.

    Attributes:
        array: (x, y, z), real numbers or bool, every value finite, no axis empty.
        affine: (4, 4) float64, voxel index to RAS+ millimetres.

    Raises:
        UnsupportedInputError: the array is not 3-D or not of real numbers.
        NotFiniteError: a voxel is NaN or infinite.
        GeometryError: the affine is not 4×4, not finite, singular, or its spacing is beyond 0.001–1000 mm.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        _check_array(self.array)
        object.__setattr__(self, "affine", checked_affine(self.affine))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y and z."""
        x, y, z = self.array.shape
        return x, y, z

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along each array axis, in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel in mm³; right for sheared grids too."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def orientation(self) -> AxisCodes:
        """Anatomical direction in which each array axis grows, e.g. `("L", "P", "S")`."""
        x, y, z = orientations.ornt2axcodes(self._to_ras_orientation)
        return x, y, z

    def with_array(self, array: NDArray[Any]) -> "Volume":
        """The same grid with other values.

        Raises:
            GeometryError: the array has another shape.
        """
        if array.shape != self.array.shape:
            raise GeometryError(f"expected an array of shape {self.array.shape}, got {array.shape}")
        return Volume(array, self.affine)

    def to_ras(self) -> "Volume":
        """The same voxels with axes permuted and flipped to the nearest RAS+; nothing is interpolated."""
        ornt = self._to_ras_orientation
        affine = self.affine @ orientations.inv_ornt_aff(ornt, self.shape)
        return Volume(orientations.apply_orientation(self.array, ornt), affine)

    def from_ras(self, array: NDArray[Any]) -> NDArray[Any]:
        """Take an array on the grid of `to_ras()` back to this volume's axis order."""
        ras = orientations.axcodes2ornt("RAS")
        back = orientations.ornt_transform(ras, orientations.axcodes2ornt(self.orientation))
        return np.ascontiguousarray(orientations.apply_orientation(array, back))

    def world(self, ijk: NDArray[Any]) -> NDArray[np.float64]:
        """Voxel indices `(n, 3)` to RAS+ millimetres `(n, 3)`."""
        return apply_affine(self.affine, ijk)

    def voxel(self, xyz_mm: NDArray[Any]) -> NDArray[np.float64]:
        """RAS+ millimetres `(n, 3)` to fractional voxel indices `(n, 3)`."""
        return apply_affine(np.linalg.inv(self.affine), xyz_mm)

    @cached_property
    def _to_ras_orientation(self) -> NDArray[np.float64]:
        return np.asarray(orientations.io_orientation(self.affine))


def apply_affine(affine: NDArray[Any], points: NDArray[Any]) -> NDArray[np.float64]:
    """Move points `(n, 3)` by a 4×4 affine.

    Sums run in the same order on every processor and in every process, which those of a matrix product by BLAS do
    not: a result that is made again is the same to the last digit.
    """
    return np.asarray(project(points, *affine[:3, :3]) + affine[:3, 3])


def project(points: NDArray[Any], *axes: NDArray[Any]) -> NDArray[np.float64]:
    """Components `(n, len(axes))` of points `(n, d)` along axes `(d,)`, in the same order of sums everywhere."""
    columns = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
    sums = [sum(column * part for column, part in zip(columns, axis, strict=True)) for axis in axes]
    return np.stack(sums, axis=-1).astype(np.float64, copy=False)


def _check_array(array: NDArray[Any]) -> None:
    if array.ndim != 3:
        raise UnsupportedInputError(f"expected a 3-D array (x, y, z), got {array.ndim}-D")
    if 0 in array.shape:
        raise UnsupportedInputError(f"expected at least one voxel along every axis, got shape {array.shape}")
    if array.dtype.kind not in "buif":
        raise UnsupportedInputError(f"expected real numbers, got voxels of type {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NotFiniteError("expected finite voxels, but some are NaN or infinite")


def checked_affine(affine: NDArray[Any]) -> NDArray[np.float64]:
    """Return a read-only copy of an affine that spans a space.

    Raises:
        GeometryError: As `Volume` raises it.
    """
    checked = np.array(affine, dtype=np.float64)
    if checked.shape != (4, 4):
        raise GeometryError(f"expected a 4×4 affine, got shape {checked.shape}")
    if not np.isfinite(checked).all():
        raise GeometryError("expected a finite affine, but it holds NaN or infinity")
    if not np.allclose(checked[3], (0, 0, 0, 1)):
        raise GeometryError("expected the last row of the affine to be 0 0 0 1")
    spacing = np.linalg.norm(checked[:3, :3], axis=0)
    if (spacing < SMALLEST_SPACING_MM).any() or (spacing > LARGEST_SPACING_MM).any():
        raise GeometryError(
            f"expected voxel spacings of {SMALLEST_SPACING_MM}–{LARGEST_SPACING_MM} mm, got "
            + " × ".join(f"{value:.4g}" for value in spacing)
        )
    if abs(np.linalg.det(checked[:3, :3] / spacing)) < 1e-3:
        raise GeometryError("expected an affine with three independent axes, but it is singular")
    checked.setflags(write=False)
    return checked
