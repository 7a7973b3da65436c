"""What the voxels themselves say against segmenting a scan, or against trusting what comes of it.

Thresholds lie in the gap between real scans and what is none, both counted by `benchmarks/gatekeeper.py`. Only
what is clear is refused, for to turn a real scan away is worse than to let a photograph in; what is doubtful is
warned of.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from metseg.errors import NotMrError
from metseg.imaging.scan import Scan
from metseg.imaging.volume import Volume
from metseg_worker.readers.slice_features import Signs, signs_of

SMALLEST_SIDE: Final = 64
"""Slices of fewer voxels across show too little to be judged."""
MOST_SLICES: Final = 7
MOST_VALUES: Final = 1_000_000
"""Of more, only some are compared with each other."""
THICK: Final = 1.5
"""Slices are looked at as they were acquired if they lie this much further apart than axial ones."""

DARK_CORNERS: Final = (2, 2)
FRAME: Final = (0.2, 0.25)
"""With fewer dark corners and a brighter frame than the first a picture is refused: a bar across the top, or a
neck that leaves the picture, stays below. By either of the second a warning is given:
sagittal slices, in which face and neck leave the picture, reach 0.25."""
LEAST_SMOOTH: Final = 0.5
ROUGH: Final = 0.85
MOST_NOISE: Final = 0.155
"""The signal is about 8 times the noise then, for the air's mean is 1.25 times the standard deviation that noise
has in the head (Gudbjartsson & Patz, Magn Reson Med 1995, on the Rayleigh distribution)."""
MOST_GHOST: Final = 0.175
BRIGHT_SCALP: Final = 1.3
DARK_SKULL: Final = 0.65
WIDEST_HEAD_MM: Final = 300.0
SMALLEST_HEAD_MM: Final = 110.0
"""A newborn's head is about as long; most fruit is smaller."""
FARTHEST_SLICE: Final = 10.0
FARTHEST_SCAN: Final = 8.5
"""Distance from slices of heads (`head_shape`) of a single slice, and median distance of several. That of real
slices is 9.6 at most, that of scans of heads 7.6; that of bottles and limbs is 9 and more (decision 36)."""

HU_AIR: Final = (-1100, -800)
HU_TISSUE: Final = (0, 100)
LEAST_HU: Final = 0.05
"""A volume of CT has this share of its voxels, and more, in each of the two ranges of Hounsfield units."""


def check_appearance(scan: Scan) -> tuple[str, ...]:
    """Sentences for the report on what the voxels show; none for slices too small to be judged.

    Raises:
        NotMrError: they are clearly not those of an MR scan of a head.
    """
    volume = scan.volume.to_ras()
    axis = slice_axis(volume)
    slices = list(middle_slices(volume.array, axis))
    if min(slices[0].shape) < SMALLEST_SIDE:
        return ()
    _refuse_values(np.concatenate([one.reshape(-1) for one in slices]))
    seen = [(pixels, signs) for pixels in slices if (signs := signs_of(pixels)) is not None]
    if not seen:
        return ()
    usual = Signs(*np.median([astuple(signs) for _, signs in seen], axis=0).tolist())
    _refuse_looks(usual, is_picture=scan.is_picture)
    in_plane_mm = max(mm for other, mm in enumerate(volume.spacing_mm) if other != axis)
    return (*_looks(usual), *_shape(seen), *(_size(usual.extent * in_plane_mm) if scan.has_spacing else ()))


def slice_axis(volume: Volume) -> int:
    """The axis along which slices are looked at: that of the acquisition, or the axial one."""
    spacing = volume.spacing_mm
    return 2 if max(spacing) < THICK * spacing[2] else int(np.argmax(spacing))


def middle_slices(array: NDArray[Any], axis: int, most: int = MOST_SLICES) -> Iterator[NDArray[np.float32]]:
    """Evenly spread over the middle three fifths, where a head is more than its top or its neck."""
    count = array.shape[axis]
    places = np.linspace(0.2 * (count - 1), 0.8 * (count - 1), min(count, most))
    for place in np.unique(np.rint(places).astype(int)):
        yield np.take(array, place, axis=axis).astype(np.float32)


def _refuse_values(values: NDArray[np.float32]) -> None:
    values = values[:: len(values) // MOST_VALUES + 1]
    air, tissue = (np.mean((values >= low) & (values <= high)) for low, high in (HU_AIR, HU_TISSUE))
    if min(air, tissue) >= LEAST_HU:
        raise NotMrError("expected an MR scan, got values that run as Hounsfield units do: those of a CT scan")
    if len(np.unique(values)) == 2:
        raise NotMrError("expected an MR scan, got two grey values only: a mask, or a drawing in black and white")


def _refuse_looks(seen: Signs, *, is_picture: bool) -> None:
    if seen.smoothness < LEAST_SMOOTH:
        raise NotMrError("expected an MR scan, got grey values without order, such as noise or a page of text")
    if is_picture and seen.dark_corners < DARK_CORNERS[0] and seen.frame > FRAME[0]:
        raise NotMrError(
            "expected a head in dark air, got a picture that is bright up to its frame, such as a photograph, "
            "a page or an X-ray"
        )


def _looks(seen: Signs) -> Sequence[str]:
    warnings = []
    if seen.dark_corners < DARK_CORNERS[1] or seen.frame > FRAME[1]:
        warnings.append("There is hardly any dark air around what is shown: is it a whole head, and MR?")
    if seen.noise > MOST_NOISE or seen.smoothness < ROUGH:
        warnings.append("The images are very noisy: small lesions may be missed, and specks be marked.")
    if seen.ghost > MOST_GHOST:
        warnings.append(
            "There are ghosts in the air beside the head, as of motion: lesions may be blurred or doubled."
        )
    if seen.scalp < BRIGHT_SCALP and seen.skull > DARK_SKULL:
        warnings.append(
            "No skull is seen around the brain, as if it had been cut away: a model that learnt on whole heads is "
            "less certain here."
        )
    return warnings


def _shape(seen: Sequence[tuple[NDArray[np.float32], Signs]]) -> Sequence[str]:
    from metseg_worker.readers.head_shape import features_of, head_shape  # loads SciPy, once the scan was read

    features = [features_of(pixels, signs) for pixels, signs in seen]
    distances = [head_shape().distance(one) for one in features if one is not None]
    farthest = FARTHEST_SCAN if len(distances) > 1 else FARTHEST_SLICE
    if distances and np.median(distances) <= farthest:
        return ()
    return ("This does not look like a human head: another part of the body, or an object?",)


def _size(extent_mm: float) -> Sequence[str]:
    if SMALLEST_HEAD_MM <= extent_mm <= WIDEST_HEAD_MM:
        return ()
    return (
        f"What is shown is {extent_mm:.0f} mm across, as no head is: another part of the body, or a wrong "
        "spacing.",
    )
