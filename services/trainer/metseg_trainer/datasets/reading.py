"""From a case's files to its scan, its classes and its lesions; the message of every error names the file."""

from pathlib import Path
from typing import Any

import cc3d
import cv2
import numpy as np
from numpy.typing import NDArray

from metseg.errors import DamagedInputError, InputError
from metseg.imaging.limits import DEFAULT_LIMITS
from metseg.imaging.picture import read_picture
from metseg.imaging.scan import Scan, ScanKind, read_scan
from metseg.imaging.volume import Volume
from metseg_trainer.datasets.cases import Case, files_of
from metseg_trainer.datasets.dicom import read_dicom_series
from metseg_trainer.datasets.labels import Rule
from metseg_trainer.datasets.lesion_free import LESION_FREE
from metseg_trainer.datasets.synthetic import PHANTOM_LAYOUT

BRAINMETSHARE_SPACING_MM = (0.94, 0.94, 1.0)
"""Of the PNG release, whose files hold none: a field of view of 24 cm on 256 pixels, slices of 1 mm.

Grøvik et al., "Deep learning enables automatic detection and segmentation of brain metastases on multisequence
MRI", J Magn Reson Imaging 2020, 51:175."""


def read_image(case: Case) -> Scan:
    """Read a case's image.

    A folder of pictures is taken to be one volume in radiological display, its numbers running from feet to head.

    Raises:
        InputError: A file cannot be read.
    """
    try:
        if case.layout == LESION_FREE and (case.image.is_dir() or case.image.suffix == ".zip"):
            return Scan(read_dicom_series(case.image), ScanKind.NIFTI)
        if case.image.is_dir():
            return Scan(_read_stack(case.image), ScanKind.NIFTI)
        if case.channel is not None:
            return Scan(_read_channel(case.image, case.channel), ScanKind.PICTURE, has_spacing=False)
        return read_scan(case.image)
    except InputError as exc:
        raise type(exc)(f"{case.image}: {exc}") from exc


def read_values(case: Case) -> Volume:
    """Read a case's mask with the values of its file, unchecked; zeros for a scan that is known to show no lesion.

    Raises:
        InputError: A file cannot be read.
    """
    if case.mask is None:
        image = read_image(case).volume
        return image.with_array(np.zeros(image.shape, np.uint8))
    try:
        return _read_stack(case.mask) if case.mask.is_dir() else read_scan(case.mask).volume
    except InputError as exc:
        raise type(exc)(f"{case.mask}: {exc}") from exc


def known_values(case: Case, values: NDArray[Any]) -> list[int]:
    """List the values of a case's mask that was read.

    Raises:
        InputError: A value is outside of the case's scheme.
    """
    try:
        return case.labelling.values(values)
    except InputError as exc:
        raise InputError(f"{case.mask}: {exc}.") from exc


def read_mask(case: Case) -> Volume:
    """Read a case's mask as uint8 classes: 0 background, from 1 on the classes of its labelling.

    Raises:
        InputError: A file cannot be read, or holds a value outside of its scheme.
    """
    values = read_values(case)
    return values.with_array(_classes(case, values.array))


def read_lesions(case: Case) -> Volume:
    """Read a case's mask as uint32: 0 background, and a number for each lesion.

    In a volume whose labelling allows numbers and that has several, they are the lesions', as they always are in a
    synthetic scan. Else the parts that touch at least by a corner are counted, all classes taken together.

    Raises:
        InputError: As `read_mask`.
    """
    values = read_values(case)
    classes = _classes(case, values.array)
    numbered = case.labelling.rule is Rule.NUMBERS and values.shape[2] > 1
    if numbered and (case.layout == PHANTOM_LAYOUT or len(np.unique(values.array)) > 2):
        return values.with_array(values.array.astype(np.uint32))
    return values.with_array(cc3d.connected_components(classes > 0, connectivity=26).astype(np.uint32))


def _classes(case: Case, values: NDArray[Any]) -> NDArray[np.uint8]:
    return case.labelling.apply(values, known_values(case, values))


def _read_stack(folder: Path) -> Volume:
    """Read `<number>.png` as one volume of `BRAINMETSHARE_SPACING_MM`."""
    paths = [path for path in files_of(folder) if path.suffix.lower() == ".png"]
    numbers = {int(path.stem): path for path in paths if path.stem.isdecimal()}
    if not numbers or len(numbers) != len(paths):
        raise InputError(f"expected pictures named <number>.png, found {[p.name for p in paths[:3]] or 'none'}")
    first, last = min(numbers), max(numbers)
    missing = [number for number in range(first, last + 1) if number not in numbers]
    if missing:
        raise InputError(f"expected pictures {first} to {last} without a gap, but {missing[0]}.png is missing")
    slices = [read_picture(numbers[number], DEFAULT_LIMITS).array for number in range(first, last + 1)]
    shapes = {one.shape for one in slices}
    if len(shapes) > 1:
        raise InputError(f"expected pictures of one size, got {' and '.join(str(s[:2]) for s in sorted(shapes))}")
    x_mm, y_mm, z_mm = BRAINMETSHARE_SPACING_MM
    return Volume(np.concatenate(slices, axis=2), np.diag((-x_mm, -y_mm, z_mm, 1.0)))


def _read_channel(path: Path, channel: int) -> Volume:
    """Read one channel of a colour picture, on the same grid as `read_picture`."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DamagedInputError("expected a whole colour picture, but it is damaged")
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(f"expected a picture of three channels, got an array of shape {pixels.shape}")
    one = pixels[:, :, 2 - channel]  # OpenCV gives blue, green, red
    return Volume(np.ascontiguousarray(one.T)[:, :, None], np.diag((-1.0, -1.0, 1.0, 1.0)))
