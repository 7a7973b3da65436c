"""The three anatomical planes of a grid in RAS+ order; `browser/geometry.js` draws them."""

from enum import StrEnum


class Plane(StrEnum):
    """A direction of slicing."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"

    @property
    def axis(self) -> int:
        """The array axis that counts this plane's slices."""
        return {"sagittal": 0, "coronal": 1, "axial": 2}[self.value]

    @classmethod
    def of_axis(cls, axis: int) -> "Plane":
        """The plane whose slices that array axis counts."""
        return next(plane for plane in cls if plane.axis == axis)
