"""One phantom from one seed: the head, its lesions, and the scanner that took the picture."""

from dataclasses import asdict, dataclass
from itertools import permutations, product

import numpy as np
from nibabel import orientations
from numpy.typing import NDArray
from scipy import ndimage

from metseg.imaging.volume import Volume
from metseg_trainer.phantom.anatomy import Map, Template, load_template
from metseg_trainer.phantom.fields import smooth_field
from metseg_trainer.phantom.grid import ScanGrid, draw_grid
from metseg_trainer.phantom.head import compose_head, draw_look
from metseg_trainer.phantom.painting import paint_lesions
from metseg_trainer.phantom.placement import draw_halos, draw_lesions, place_lesions
from metseg_trainer.phantom.presets import PRESETS, LesionKind, PhantomPreset
from metseg_trainer.phantom.regions import add_oedema
from metseg_trainer.phantom.shapes import LesionShape, rotation

STRIPPING_STREAM = 1
"""Names the random numbers of skull stripping, which thereby shift no others."""


@dataclass(frozen=True)
class TrueLesion:
    """What is true of one lesion.

    Attributes:
        label: Its value in the label volume, 1 for the largest.
        kind: How it enhances; each member of a cluster is a lesion of its own.
        centre_ras_mm: Centre of mass.
        diameter_mm: Diameter of the ball of equal volume.
        longest_axial_mm: Longest extent within a slice plane.
        volume_mm3: Volume by construction, rim and core together.
        voxels_mm3: Volume of its voxels in the label volume.
        enhancement: Brightness of its enhancing part; white matter is 1.
    """

    label: int
    kind: LesionKind
    centre_ras_mm: tuple[float, float, float]
    diameter_mm: float
    longest_axial_mm: float
    volume_mm3: float
    voxels_mm3: float
    enhancement: float


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic scan and all that is true of it.

    Attributes:
        scan: int16 image.
        labels: uint16, 0 outside lesions, else the lesion's label.
        regions: uint8, 0 or a value of `metseg_trainer.phantom.regions`: necrosis, oedema, enhancing.
        truth: The lesions by label, largest first.
        seed: Makes the same phantom again together with `preset`.
        preset: Name of the preset, or "custom".
        settings: What was drawn for the scanner and the head.
    """

    scan: Volume
    labels: Volume
    regions: Volume
    truth: list[TrueLesion]
    seed: int
    preset: str
    settings: dict[str, float | int | str | bool | list[float]]


def make_phantom(seed: int, preset: str | PhantomPreset = "clinical") -> Phantom:
    """Make a phantom; equal seeds and presets give equal voxels.

    Args:
        seed: Any integer from 0 on.
        preset: A name in `PRESETS`, or ranges of one's own.

    Raises:
        KeyError: there is no preset of that name.
    """
    ranges = PRESETS[preset] if isinstance(preset, str) else preset
    rng = np.random.default_rng(seed)
    template = load_template(ranges.template_step)
    grid = draw_grid(rng, ranges)
    look = draw_look(rng, bare=bool(rng.random() < ranges.bare_brain_share))
    shapes = place_lesions(rng, template, grid, draw_lesions(rng, ranges, grid.spacing_mm[2]))
    halos = draw_halos(rng, grid.pose, shapes)
    image = grid.warp(template, compose_head(rng, template, look, halos))
    labels, regions, enhancements = paint_lesions(rng, grid, image, shapes, look, ranges.paint)
    add_oedema(regions, grid, template, halos)
    noise, bias = rng.uniform(*ranges.noise), rng.uniform(*ranges.bias)
    white = float(np.exp(rng.uniform(*np.log(ranges.white))))
    values = _scanned(rng, image, grid, ranges, noise=noise, bias=bias)
    stripping = draw_stripping(seed, ranges)
    if stripping is not None:
        values *= (labels > 0) | _inside_of_skull(stripping, template, grid)
    stored = np.rint(np.minimum(values * np.float32(white), 32000)).astype(np.int16)
    affine = _affine(rng, grid, ranges)
    codes = _axes(rng, ranges)
    scan, numbered, parts = (reoriented(Volume(array, affine), codes) for array in (stored, labels, regions))
    truth = _truth(grid, Volume(labels, affine), shapes, enhancements)
    settings = {
        "spacing_mm": list(grid.spacing_mm),
        "stored_axes": codes,
        "noise": noise,
        "bias": bias,
        "stripped": stripping is not None or look.bare,
        **asdict(look),
    }
    name = preset if isinstance(preset, str) else "custom"
    return Phantom(scan, numbered, parts, truth, seed, name, settings)


def draw_stripping(seed: int, preset: PhantomPreset) -> np.random.Generator | None:
    """Draw whether a skull is stripped; None leaves it on, else its details are drawn from what is returned."""
    rng = np.random.default_rng((seed, STRIPPING_STREAM))
    return rng if rng.random() < preset.stripped_share else None


def reoriented(volume: Volume, axcodes: str) -> Volume:
    """Store the same voxels in another order of axes, with the affine that keeps them where they are.

    Args:
        volume: Any volume.
        axcodes: Direction in which each new axis grows, such as "LPS" or "PSR".
    """
    now = orientations.io_orientation(volume.affine)
    change = orientations.ornt_transform(now, orientations.axcodes2ornt(tuple(axcodes)))
    array = np.ascontiguousarray(orientations.apply_orientation(volume.array, change))
    return Volume(array, volume.affine @ orientations.inv_ornt_aff(change, volume.shape))


def all_axcodes() -> list[str]:
    """List the 48 orders and directions in which three axes can be stored."""
    signs = list(product("RL", "AP", "SI"))
    return ["".join(letters[axis] for axis in order) for order in permutations(range(3)) for letters in signs]


def _scanned(
    rng: np.random.Generator, image: Map, grid: ScanGrid, ranges: PhantomPreset, *, noise: float, bias: float
) -> Map:
    """Blur, shade, bend the contrast and add Rician noise."""
    sigma = [rng.uniform(*ranges.blur_mm) / spacing if spacing < 2 else 0.0 for spacing in grid.spacing_mm]
    image = ndimage.gaussian_filter(image, sigma, truncate=3.0)
    if ranges.gamma != (1.0, 1.0):
        image = np.maximum(image, 0) ** np.float32(rng.uniform(*ranges.gamma))
    image *= np.exp(np.float32(bias) * smooth_field(rng, grid.shape, ranges.bias_knots))
    image += np.float32(noise) * rng.standard_normal(grid.shape, dtype=np.float32)
    other = np.float32(noise) * rng.standard_normal(grid.shape, dtype=np.float32)
    magnitude: Map = np.sqrt(image * image + other * other)
    return magnitude


def _inside_of_skull(rng: np.random.Generator, template: Template, grid: ScanGrid) -> NDArray[np.bool_]:
    """Cut along the inner skull, sometimes a little too deep, sometimes leaving dura; the edge is uneven."""
    margin_mm = rng.uniform(-1.0, 1.5)
    uneven = template.depth + np.float32(0.7) * smooth_field(rng, template.shape, 20)
    return np.asarray(grid.warp(template, uneven) < margin_mm)


def _affine(rng: np.random.Generator, grid: ScanGrid, ranges: PhantomPreset) -> NDArray[np.float64]:
    oblique = rng.random() < ranges.oblique_share
    turn = rotation(np.deg2rad(ranges.oblique_deg) * rng.uniform(-1, 1, 3) * oblique)
    affine = np.eye(4)
    affine[:3, :3] = turn * grid.spacing_mm
    affine[:3, 3] = turn @ grid.first_mm + rng.uniform(-20, 20, 3)
    return affine


def _axes(rng: np.random.Generator, ranges: PhantomPreset) -> str:
    choices = all_axcodes() if rng.random() < ranges.any_axes_share else list(ranges.stored_axes)
    return choices[int(rng.integers(len(choices)))]


def _truth(
    grid: ScanGrid, labels: Volume, shapes: list[LesionShape], enhancements: list[float]
) -> list[TrueLesion]:
    truth = []
    counts = np.bincount(labels.array.ravel(), minlength=len(shapes) + 1)
    for label, (shape, enhancement) in enumerate(zip(shapes, enhancements, strict=True), start=1):
        voxel = (shape.centroid_mm - grid.first_mm) / grid.spacing_mm
        x, y, z = labels.world(voxel[None])[0]
        truth.append(
            TrueLesion(
                label=label,
                kind=shape.kind,
                centre_ras_mm=(float(x), float(y), float(z)),
                diameter_mm=shape.diameter_mm,
                longest_axial_mm=shape.longest_axial_mm(),
                volume_mm3=shape.volume_mm3,
                voxels_mm3=float(counts[label] * labels.voxel_mm3),
                enhancement=enhancement,
            )
        )
    return truth
