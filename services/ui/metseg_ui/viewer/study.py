"""What the viewer shows of a succeeded job: scan and lesions on one RAS+ grid, read from the artefacts."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metseg.errors import GeometryError
from metseg.imaging.scan import Scan, read_scan
from metseg.imaging.volume import Volume
from metseg.lesions.find import LesionRules, find_lesions
from metseg.schemas.report import Lesion, Report
from metseg_client import MetsegClient
from metseg_ui.viewer.planes import Plane

SAMPLED_VOXELS = 200_000
INNER = 0.66


@dataclass(frozen=True)
class Window:
    """A range of grey values, from black to white."""

    low: float
    high: float

    @property
    def centre(self) -> float:
        """The grey value shown half bright."""
        return (self.low + self.high) / 2

    @property
    def width(self) -> float:
        """Grey values from black to white; never 0."""
        return max(self.high - self.low, 1e-6)


@dataclass(frozen=True, eq=False)
class Study:
    """A scan with its lesions.

    Attributes:
        scan: grey values on a grid in RAS+ order.
        labels: (x, y, z) number of the lesion in each voxel of that grid, as in the report; 0 for none.
        source: the grid as it came, to which `Lesion.slice_index` belongs.
        is_picture: a lone slice whose sides are those of the file.
        has_spacing: whether lengths in mm are known.
        knows_sides: whether the file says where left and right are.
    """

    scan: Volume
    labels: NDArray[np.uint16]
    source: Volume
    is_picture: bool
    has_spacing: bool
    knows_sides: bool

    @property
    def planes(self) -> tuple[Plane, ...]:
        """The planes worth looking at: one for a picture, else all three."""
        return (Plane.AXIAL,) if self.is_picture else tuple(Plane)

    def count(self, plane: Plane) -> int:
        """How many slices the plane has."""
        return self.scan.shape[plane.axis]

    def measured_at(self, lesion: Lesion) -> tuple[Plane, int]:
        """The plane and slice in which the lesion's diameters were measured."""
        centre = (np.array(self.source.shape) - 1) / 2
        ends = np.stack([centre, centre])
        ends[0, lesion.slice_axis] = lesion.slice_index
        ends[1, lesion.slice_axis] = lesion.slice_index + 1
        there, beyond = self.scan.voxel(self.source.world(ends))
        axis = int(np.argmax(np.abs(beyond - there)))
        return Plane.of_axis(axis), int(np.rint(there[axis]))

    def best_slice(self, lesion: Lesion, plane: Plane) -> int:
        """The slice to show a lesion in: where it was measured, in other planes where most of it is seen."""
        measured_plane, index = self.measured_at(lesion)
        if plane is measured_plane:
            return index
        others = tuple(axis for axis in range(3) if axis != plane.axis)
        return int(np.argmax((self.labels == lesion.label).sum(axis=others)))

    @cached_property
    def windows(self) -> dict[str, Window]:
        """Ranges of grey values to choose from; the first is the usual one."""
        values = self._sample.reshape(-1)
        low, high = np.percentile(values, (0.5, 99.8))
        inner = self._inner_part(low + 0.1 * (high - low))
        middle, bright = np.percentile(inner, (40, 99.9))
        return {
            "Standard": Window(float(low), float(high)),
            "Enhancement": Window(float(middle), float(bright)),
            "Full range": Window(float(values.min()), float(values.max())),
        }

    def _inner_part(self, darkest: float) -> NDArray[np.float32]:
        """Grey values of the ellipsoid in the inner two thirds of the head: brain, without scalp and sinuses."""
        sample = self._sample
        places = np.argwhere(sample > darkest)
        if not len(places):
            return sample.reshape(-1)
        low, high = np.percentile(places, (1, 99), axis=0)
        radii = np.maximum((high - low) / 2, 1) * INNER
        distances = (((places - (low + high) / 2) / radii) ** 2).sum(axis=1)
        inner = places[distances <= 1]
        return np.asarray(sample[tuple((inner if len(inner) else places).T)])

    @cached_property
    def _sample(self) -> NDArray[np.float32]:
        """Every nth voxel along each axis, which is enough for percentiles."""
        step = max(math.ceil((self.scan.array.size / SAMPLED_VOXELS) ** (1 / 3)), 1)
        sample: NDArray[Any] = self.scan.array[::step, ::step, ::step]
        return sample.astype(np.float32)


def fetch_study(client: MetsegClient, report: Report) -> Study:
    """Download and read what is to be drawn.

    Raises:
        ClientError: an artefact cannot be had.
        MetsegError: an artefact cannot be read, or scan and lesions do not lie on one grid.
    """
    names = {artefact.name for artefact in client.result(report.job_id).artefacts}
    is_picture = "mask.png" in names
    scan_name, mask_name = ("scan.png", "mask.png") if is_picture else ("scan.nii.gz", "lesions.nii.gz")
    spacing = report.source.spacing_mm
    spacing_xy = (spacing[0], spacing[1]) if is_picture and spacing is not None else None
    with TemporaryDirectory(prefix="metseg-ui-") as folder:
        paths = [client.download(report.job_id, name, Path(folder) / name) for name in (scan_name, mask_name)]
        scan, mask = (read_scan(path, spacing_mm=spacing_xy) for path in paths)
    return combine(scan, mask, report.lesions)


def combine(scan: Scan, mask: Scan, lesions: list[Lesion]) -> Study:
    """Scan and lesions as one study.

    Args:
        scan: the grey values.
        mask: the number of the lesion in each voxel; of a picture, any value above 0 for lesion.
        lesions: the report's lesions.

    Raises:
        GeometryError: the two do not lie on the same grid.
    """
    same_shape = scan.volume.shape == mask.volume.shape
    if not (same_shape and np.allclose(scan.volume.affine, mask.volume.affine, atol=1e-3)):
        raise GeometryError("expected scan and lesions on the same grid, but they differ")
    labels = _numbers(mask.volume, lesions) if scan.is_picture else mask.volume.array
    shown, seen = scan.volume.to_ras(), scan.volume.with_array(labels.astype(np.uint16)).to_ras()
    return Study(shown, seen.array, scan.volume, scan.is_picture, scan.has_spacing, scan.knows_sides)


def _numbers(mask: Volume, lesions: list[Lesion]) -> NDArray[np.uint16]:
    """Number the parts of a picture's mask as the report does: a part is the lesion with its centroid."""
    binary = mask.with_array((mask.array > 0).astype(np.uint8))
    rules = LesionRules(is_picture=True, has_spacing=False)
    parts, found = find_lesions(binary, binary.array.astype(np.float32), rules)
    numbers = np.zeros(len(parts) + 1, dtype=np.uint16)
    for part in parts:
        numbers[part.label] = next((lesion.label for lesion in lesions if _same_place(lesion, part)), 0)
    return numbers[found]


def _same_place(one: Lesion, other: Lesion) -> bool:
    if one.centroid_px is None or other.centroid_px is None:
        return False
    return bool(np.allclose(one.centroid_px, other.centroid_px, atol=0.5))
