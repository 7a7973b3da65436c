"""The scan's grid, and how the head lies in it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from metseg_trainer.phantom.anatomy import BRAIN_BOTTOM_MM, BRAIN_TOP_MM, HEAD_CENTRE_MM, Map, Template
from metseg_trainer.phantom.fields import interpolated
from metseg_trainer.phantom.presets import PhantomPreset
from metseg_trainer.phantom.shapes import rotation

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pose:
    """How the template is stretched, turned and shifted into the grid.

    Attributes:
        matrix: (3, 3) template millimetres around the head's centre to grid millimetres; may mirror.
        shift_mm: Where the head's centre comes to lie.
    """

    matrix: Points
    shift_mm: Points

    def to_grid(self, points_mm: Points) -> Points:
        """Take (n, 3) template millimetres to grid millimetres."""
        return np.asarray(np.einsum("nk,jk->nj", points_mm - HEAD_CENTRE_MM, self.matrix) + self.shift_mm)

    def to_template(self, points_mm: Points) -> Points:
        """Take (n, 3) grid millimetres to template millimetres."""
        away = np.einsum("nk,jk->nj", points_mm - self.shift_mm, np.linalg.inv(self.matrix))
        return np.asarray(away + HEAD_CENTRE_MM)

    @cached_property
    def smallest_stretch(self) -> float:
        """Factor by which the most compressed direction is stretched."""
        return float(np.linalg.svd(self.matrix, compute_uv=False).min())


@dataclass(frozen=True, eq=False)
class ScanGrid:
    """The voxels of a scan with slices across z, before its axes are stored in another order.

    Grid millimetres run along the voxel axes, roughly to the right, to the front and to the head, with the
    origin in the middle of the field of view.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    pose: Pose

    @property
    def first_mm(self) -> Points:
        """Grid millimetres of the centre of voxel (0, 0, 0)."""
        return np.asarray(-(np.array(self.shape) - 1) / 2 * np.array(self.spacing_mm), dtype=np.float64)

    def holds(self, centre_mm: Points, reach_mm: float) -> bool:
        """Tell whether a ball lies inside the grid."""
        edge = -self.first_mm + np.array(self.spacing_mm) / 2
        return bool((np.abs(centre_mm) + reach_mm < edge).all())

    def warp(self, template: Template, head: Map) -> Map:
        """Resample a template-space image to this grid; a thick slice averages what lies in it."""
        fine = np.maximum(self.spacing_mm, template.step_mm)
        cuts = max(1, round(self.spacing_mm[2] / template.step_mm))
        fine[2] = self.spacing_mm[2] / cuts
        extent = np.array(self.shape) * self.spacing_mm
        counts = [int(np.ceil(extent[0] / fine[0])), int(np.ceil(extent[1] / fine[1])), self.shape[2] * cuts]
        start = -(np.array(counts) - 1) / 2 * fine
        inverse = np.linalg.inv(self.pose.matrix)
        offset = inverse @ (start - self.pose.shift_mm) + HEAD_CENTRE_MM - template.affine[:3, 3]
        image: Map = ndimage.affine_transform(
            head,
            inverse @ np.diag(fine) / template.step_mm,
            offset / template.step_mm,
            tuple(counts),
            order=1,
            mode="nearest",
        )
        image = image.reshape(counts[0], counts[1], self.shape[2], cuts).mean(axis=3)
        for axis in (0, 1):
            centres = self.first_mm[axis] + self.spacing_mm[axis] * np.arange(self.shape[axis])
            if self.shape[axis] != counts[axis] or fine[axis] != self.spacing_mm[axis]:
                image = interpolated(image, axis, (centres - start[axis]) / fine[axis])
        return image


def draw_grid(rng: np.random.Generator, preset: PhantomPreset) -> ScanGrid:
    """Draw spacing, field of view and the head's shape and position; the whole scalp lies in the field."""
    if rng.random() < preset.thick_share:
        in_plane = rng.uniform(*preset.thick_in_plane_mm)
        slice_mm = rng.uniform(*preset.thick_slice_mm)
    else:
        in_plane = rng.uniform(*preset.thin_in_plane_mm)
        same = preset.thin_in_plane_mm[0] == preset.thin_in_plane_mm[1]
        slice_mm = in_plane if same else max(0.9, in_plane * rng.uniform(0.9, 1.15))
    stretch = 1 + rng.uniform(-preset.deformation, preset.deformation, 3)
    mirror = np.diag([rng.choice([-1.0, 1.0]), 1, 1])
    shear = np.eye(3) + np.triu(rng.normal(0, 0.02, (3, 3)), 1)
    tilt = np.deg2rad(preset.tilt_deg * rng.uniform(-1, 1, 3))
    matrix = rotation(tilt) @ shear @ np.diag(stretch) @ mirror
    bottom = stretch[2] * (BRAIN_BOTTOM_MM - HEAD_CENTRE_MM[2] + rng.uniform(0, 25))
    top = stretch[2] * (BRAIN_TOP_MM - HEAD_CENTRE_MM[2]) + 22 + rng.uniform(0, 10)
    width, length = 205 * stretch[0] + rng.uniform(0, 40), 232 * stretch[1] + rng.uniform(0, 24)
    width, length = min(width, 256.0), min(length, 256.0)
    if rng.random() < 0.6:
        width = length = max(width, length)
    shape = (round(width / in_plane), round(length / in_plane), max(4, round((top - bottom) / slice_mm)))
    shift = np.array([rng.uniform(-6, 6), rng.uniform(-4, 4), -(top + bottom) / 2])
    return ScanGrid(shape, (in_plane, in_plane, slice_mm), Pose(matrix, shift))
