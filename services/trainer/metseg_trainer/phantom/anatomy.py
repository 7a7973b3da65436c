"""The real anatomy under the phantom: the ICBM 152 template with maps derived from it.

The template ships inside the nilearn package and is brain only; what lies around the brain is added in
`head.py`. All maps are in template space: RAS+ millimetres with the origin at the anterior commissure.
"""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from metseg_trainer.phantom.fields import interpolated

ICBM_NOTICE = """\
The anatomy in these synthetic images is derived from the ICBM 152 nonlinear symmetric atlas, release 2009a
(Fonov et al. 2009 and 2011; Collins et al. 1999), whose authors ask for this notice in all copies:

Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute,
McGill University. Permission to use, copy, modify, and distribute this software and its documentation for
any purpose and without fee is hereby granted, provided that the above copyright notice appear in all
copies. The authors and McGill University make no representations about the suitability of this software
for any purpose. It is provided "as is" without express or implied warranty. The authors are not
responsible for any data loss, equipment damage, property loss, or injury to subjects or patients resulting
from the use or misuse of this software package.

The scalp, skull, dura, vessels and lesions are made up by metseg's phantom. They show nobody.
"""

BRAIN_BOTTOM_MM, BRAIN_TOP_MM = -72.0, 84.0
HEAD_CENTRE_MM = np.array([0.0, -17.0, 8.0])

Map = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Template:
    """The template's maps on one grid.

    Attributes:
        affine: Voxel index to template millimetres.
        step_mm: Edge of a voxel.
        tissue: Share of grey plus white matter, 0 to 1; the rest of the inner skull is fluid.
        white: Share of white matter within that tissue, 0 to 1.
        depth: Signed distance in mm to the inner skull, negative inside.
        outline: Signed distance in mm to a wider hull that spans the skull's base, united with face and neck.
        places: (n, 3) template millimetres where a lesion may sit: every brain voxel.
        place_odds: (n,) running sum of their odds, the last being 1; the grey-white junction is likeliest.
    """

    affine: NDArray[np.float64]
    step_mm: float
    tissue: Map
    white: Map
    depth: Map
    outline: Map
    places: NDArray[np.float32]
    place_odds: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y and z."""
        x, y, z = self.depth.shape
        return x, y, z

    def axes_mm(self) -> tuple[Map, Map, Map]:
        """Template millimetres along each axis, shaped to broadcast over the maps."""
        lines = [
            (self.affine[k, 3] + self.step_mm * np.arange(n)).astype(np.float32) for k, n in enumerate(self.shape)
        ]
        return lines[0][:, None, None], lines[1][None, :, None], lines[2][None, None, :]

    def sample(self, values: Map, points_mm: NDArray[np.floating]) -> Map:
        """Read a map at the voxels nearest to (n, 3) template millimetres, the border held."""
        index = np.rint((points_mm - self.affine[:3, 3]) / self.step_mm).astype(int)
        index = np.clip(index, 0, np.array(self.shape) - 1)
        read: Map = values[index[:, 0], index[:, 1], index[:, 2]]
        return read


@functools.cache
def load_template(step: int = 1) -> Template:
    """Load the packaged template and derive its maps, once per process.

    Args:
        step: Edge of a voxel in whole millimetres; more than 1 averages blocks, for tiny phantoms.
    """
    grey, affine = _packaged("gm", step)
    white, _ = _packaged("wm", step)
    t1, _ = _packaged("t1", step)
    tissue = np.clip(grey + white, 0, 1)
    depth = _hull_distance(t1 > 0.05, float(step), 14.0)
    outline = np.minimum(_hull_distance(t1 > 0.05, float(step), 90.0), _face(tissue.shape, affine))
    tissue *= depth < 1
    ratio = np.where(tissue > 0.05, white / np.maximum(tissue, 0.05), 0).astype(np.float32)
    places, odds = _places(tissue, ratio, depth, affine)
    return Template(affine, float(step), tissue, ratio, depth, outline, places, odds)


def _packaged(kind: str, step: int) -> tuple[Map, NDArray[np.float64]]:
    spec = importlib.util.find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the phantom's anatomy ships inside the package nilearn, which is not installed")
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    image = nib.nifti1.load(folder / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz")
    array: Map = np.asarray(image.dataobj, dtype=np.float32) / np.float32(255)
    affine = np.array(image.affine, dtype=np.float64)
    affine[:3, 3] += (step - 1) / 2
    affine[:3, :3] *= step
    return _block_mean(array, step), affine


def _block_mean(array: Map, step: int) -> Map:
    x, y, z = (n // step for n in array.shape)
    whole = array[: x * step, : y * step, : z * step]
    mean: Map = whole.reshape(x, step, y, step, z, step).mean(axis=(1, 3, 5), dtype=np.float32)
    return mean


def _hull_distance(brain: NDArray[np.bool_], step_mm: float, reach_mm: float) -> Map:
    """Bridge sulci and fissures of up to twice `reach_mm` and measure the signed distance to that hull.

    Computed on a coarser grid, since the hull is smooth.
    """
    cut = max(1, round(min(max(reach_mm / 14, 2.0), 4.0) / step_mm))
    coarse_mm = cut * step_mm
    coarse = brain[::cut, ::cut, ::cut]
    pad = int(np.ceil(reach_mm / coarse_mm)) + 2
    around = np.pad(np.pad(coarse, ((pad, pad), (pad, pad), (0, pad))), ((0, 0), (0, 0), (pad, 0)), mode="edge")
    grown = ndimage.distance_transform_edt(~around, sampling=coarse_mm) <= reach_mm
    hull = ndimage.distance_transform_edt(grown, sampling=coarse_mm) > reach_mm
    outside = ndimage.distance_transform_edt(~hull, sampling=coarse_mm)
    inside = ndimage.distance_transform_edt(hull, sampling=coarse_mm)
    signed = ndimage.gaussian_filter((outside - inside).astype(np.float32), 1.5 / coarse_mm)
    signed = np.ascontiguousarray(signed[pad:-pad, pad:-pad, pad:-pad])
    for axis, n in enumerate(brain.shape):
        signed = interpolated(signed, axis, np.arange(n) / cut)
    return signed


def _places(
    tissue: Map, white: Map, depth: Map, affine: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    index = np.argwhere((tissue > 0.6) & (depth < -2))
    here = tuple(index.T)
    junction = 4 * white[here] * (1 - white[here])
    odds = 0.08 + junction**2
    points = index * affine[0, 0] + affine[:3, 3]
    odds[points[:, 2] < -50] *= 0.3
    running = np.cumsum(odds, dtype=np.float64)
    return points.astype(np.float32), running / running[-1]


def _face(shape: tuple[int, ...], affine: NDArray[np.float64]) -> Map:
    """Two ellipsoids for face and neck; only their outline matters."""
    x, y, z = (
        (affine[k, 3] + affine[k, k] * np.arange(n))
        .astype(np.float32)
        .reshape([-1 if j == k else 1 for j in range(3)])
        for k, n in enumerate(shape)
    )
    face = (np.sqrt((x / 46) ** 2 + ((y - 28) / 50) ** 2 + ((z + 85) / 58) ** 2) - 1) * 46
    neck = (np.sqrt((x / 50) ** 2 + ((y + 42) / 42) ** 2 + ((z + 110) / 70) ** 2) - 1) * 46
    outline: Map = np.minimum(face, neck).astype(np.float32)
    return outline
