"""Finds how a head lies in an earlier scan: six numbers, three angles and three shifts, by mutual information.

The only module that imports SimpleITK, which takes long to load; it runs in the process of
`metseg_worker.registration.align`. Pixels are read and resampled by others, so SimpleITK's own readers see no
file. One thread and a fixed seed give the same answer to the last bit each time.
"""

from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from metseg.imaging.volume import Volume

STEP_MM: Final = 2.0
"""Voxels that are compared; the rest of a voxel is found between them."""
BINS: Final = 32
SHRINK, SMOOTH_MM = (4, 2, 1), (4.0, 2.0, 0.0)
SAMPLED: Final = (1.0, 0.5, 0.1)
"""Share of the voxels that is compared on each level; fewer on the coarsest lead astray."""
FIRST_STEP_MM, LAST_STEP_MM = 1.0, 0.01
SHORTENED: Final = 0.8
"""What a step becomes where the way turns back; with a half the search stands still too early."""
SEED: Final = 1
"""Regular samples are shifted a little by chance."""
ROUNDS: Final = 200
BRIGHT_PERCENTILE: Final = 99.5
"""Brighter voxels, vessels and lesions, count as bright as this: they change, the head does not."""
HEAD_SHARE: Final = 0.15
"""Share of the bright level above which a voxel belongs to the head."""

BLUR_MM: Final = 2.0
"""Before grey values are compared: half a voxel beside thin bone and scalp makes a head unlike itself."""

Array = NDArray[np.float32]


def register(now: Volume, before: Volume) -> NDArray[np.float64]:
    """The rigid motion that takes a point of the later scan to the same point of the head in the earlier one.

    Two starts are tried on the coarsest level, as the headers place the scans and with the heads' middles put upon
    each other, and the better one goes on (mutual information: Mattes et al., IEEE TMI 2003;22:120-128).

    Args:
        now: The later scan, of any grid.
        before: The earlier one.

    Returns:
        (4, 4), RAS+ millimetres of `now` to those of `before`.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    fixed, moving = _image(even(now)), _image(even(before))
    middle = _middle(fixed)
    starts = [(0.0, 0.0, 0.0), tuple(_middle(moving) - middle)]
    found = [_improve(fixed, moving, _start(middle, shift), levels=slice(0, 1)) for shift in starts]
    best = min(found, key=lambda pair: pair[1])[0]
    return _matrix(_improve(fixed, moving, best, levels=slice(0, 3))[0])


def even(volume: Volume) -> Volume:
    """A scan on a grid along R, A and S with voxels of `STEP_MM`, from 0 to 1; whatever it was before.

    A grid may be sheared or oblique, which images of SimpleITK may not.
    """
    corners = volume.world(np.array([*np.ndindex(2, 2, 2)]) * (np.array(volume.shape) - 1))
    first, last = corners.min(axis=0), corners.max(axis=0)
    affine = np.diag([STEP_MM] * 3 + [1.0])
    affine[:3, 3] = first
    shape = tuple((np.ceil((last - first) / STEP_MM).astype(int) + 1).tolist())
    blur = np.maximum(STEP_MM / np.array(volume.spacing_mm) - 1, 0) / 2
    array = ndimage.gaussian_filter(volume.array.astype(np.float32), blur, truncate=3.0)
    array = sampled(Volume(array, volume.affine), Volume(np.zeros(shape, np.bool_), affine), np.eye(4))
    inside = array[array > array.min()]
    dark, bright = np.percentile(inside, (1, BRIGHT_PERCENTILE)) if inside.size else (0.0, 1.0)
    scaled = np.clip((array - dark) / max(float(bright - dark), 1e-6), 0, 1)
    return Volume(scaled.astype(np.float32), affine)


def sampled(volume: Volume, grid: Volume, motion: NDArray[np.float64]) -> Array:
    """A volume's values at the voxels of a grid, whose millimetres `motion` takes to the volume's; 0 outside."""
    back = np.linalg.inv(volume.affine) @ motion @ grid.affine
    found = ndimage.affine_transform(
        volume.array, back[:3, :3], back[:3, 3], output_shape=grid.shape, order=1, output=np.float32
    )
    return np.asarray(found)


def similarity(now: Volume, before: Volume, motion: NDArray[np.float64]) -> tuple[float, float]:
    """How far two scans show the same head once one is moved.

    Args:
        now: The later scan.
        before: The earlier one.
        motion: As `register` found it.

    Returns:
        Share of the smaller head that lies within the other scan's head, 0 to 1; and the correlation of the grey
        values where both have head, -1 to 1, 0 without any.
    """
    fixed, other = even(now), even(before)
    moved = sampled(other, fixed, motion)
    head, moved_head = fixed.array > HEAD_SHARE, moved > HEAD_SHARE
    both = head & moved_head
    smaller = min(int(head.sum()), int((other.array > HEAD_SHARE).sum()))
    overlap = float(both.sum()) / smaller if smaller else 0.0
    blurred = [ndimage.gaussian_filter(one, BLUR_MM / STEP_MM) for one in (fixed.array, moved)]
    pair = np.stack([one[both] for one in blurred]).astype(np.float64)
    if pair.shape[1] < 2 or (pair.std(axis=1) == 0).any():
        return min(overlap, 1.0), 0.0
    pair -= pair.mean(axis=1, keepdims=True)
    first, second = pair
    spread = np.sqrt(np.sum(first**2) * np.sum(second**2))
    return min(overlap, 1.0), float(np.clip(np.sum(first * second) / spread, -1, 1))


def _improve(
    fixed: sitk.Image, moving: sitk.Image, start: sitk.Euler3DTransform, *, levels: slice
) -> tuple[sitk.Euler3DTransform, float]:
    """The motion that is best near a start, and its cost (less is better)."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentagePerLevel(SAMPLED[levels], SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=FIRST_STEP_MM,
        minStep=LAST_STEP_MM,
        numberOfIterations=ROUNDS,
        relaxationFactor=SHORTENED,
        gradientMagnitudeTolerance=1e-8,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(SHRINK[levels])
    method.SetSmoothingSigmasPerLevel(SMOOTH_MM[levels])
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    motion = sitk.Euler3DTransform(start)
    method.SetInitialTransform(motion, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError:  # nothing of the one lies within the other
        return motion, np.inf
    return motion, float(method.GetMetricValue())


def _image(volume: Volume) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.T))
    image.SetSpacing(volume.spacing_mm)
    image.SetOrigin(volume.affine[:3, 3].tolist())
    return image


def _middle(image: sitk.Image) -> NDArray[np.float64]:
    """Centre of the head in millimetres: each voxel above the dark counts alike."""
    head = sitk.GetArrayViewFromImage(image).T > HEAD_SHARE
    indices = np.argwhere(head).mean(axis=0) if head.any() else (np.array(head.shape) - 1) / 2
    return np.asarray(np.array(image.GetOrigin()) + indices * np.array(image.GetSpacing()))


def _start(middle: NDArray[np.float64], shift: tuple[float, ...]) -> sitk.Euler3DTransform:
    motion = sitk.Euler3DTransform()
    motion.SetCenter(middle.tolist())
    motion.SetTranslation([float(mm) for mm in shift])
    return motion


def _matrix(motion: sitk.Euler3DTransform) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(motion.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = motion.TransformPoint((0.0, 0.0, 0.0))
    return matrix
