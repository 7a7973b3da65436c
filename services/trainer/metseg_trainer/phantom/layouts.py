"""Phantoms written as public data sets lie on disk, to try the readers and a training without any patient.

One image is the phantom's scan. The other sequences of a set are stand-ins made from it: right in what lights up
in them, and in nothing else. The second of each four scans is named as a later visit of the first one's patient
where a set has visits, though it shows another head.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metseg.imaging.nifti import write_nifti
from metseg.imaging.volume import Volume
from metseg_trainer.datasets.reading import BRAINMETSHARE_SPACING_MM
from metseg_trainer.phantom.anatomy import ICBM_NOTICE
from metseg_trainer.phantom.fields import interpolated
from metseg_trainer.phantom.presets import PRESETS
from metseg_trainer.phantom.regions import ENHANCING, OEDEMA
from metseg_trainer.phantom.scan import Phantom, make_phantom, reoriented
from metseg_trainer.phantom.writing import each_number, scan_seed

LGG_SIDE = 256
LGG_SLICES = 12
"""Slices written of each head, evenly spread; the real set has 20 to 88."""

PNG_QUICK = (cv2.IMWRITE_PNG_COMPRESSION, 1)

HEAD_SHARE = 0.1
"""Brighter than this share of the brightest is head."""

Array = NDArray[Any]
WriteStudy = Callable[[Path, int, Phantom], Path]


@dataclass(frozen=True, eq=False)
class Sequences:
    """What a set's other images hold, on the scan's grid; named as in BraTS."""

    t1c: Array
    t1n: Array
    t2w: Array
    t2f: Array


def write_studies(
    folder: Path, layout: str, *, count: int, seed: int, preset: str = "small", workers: int = 1
) -> Iterator[Path]:
    """Write a synthetic copy of a public data set, and the notice of the anatomy's authors.

    Args:
        folder: Made if it is not there; files of the same names are replaced.
        layout: A name in `LAYOUT_WRITERS`.
        count: How many scans.
        seed: The set's seed, as of `write_scans`.
        preset: A name in `PRESETS`.
        workers: Processes to use.

    Yields:
        Each study's folder once it is whole.

    Raises:
        KeyError: there is no layout or no preset of that name.
    """
    for name, known in ((layout, LAYOUT_WRITERS), (preset, PRESETS)):
        if name not in known:
            raise KeyError(f"expected one of {', '.join(known)}, got {name}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "NOTICE.txt").write_text(ICBM_NOTICE, encoding="utf-8")
    yield from each_number(partial(_write_one, folder, layout, seed, preset), count, workers)


def write_brats(folder: Path, number: int, phantom: Phantom) -> Path:
    """Write one study as BraTS-METS does."""
    patient, visit = _visit(number)
    name = f"BraTS-MET-{patient:05d}-{visit:03d}"
    study = _made(folder / name)
    for sequence, array in vars(sequences(phantom)).items():
        write_nifti(study / f"{name}-{sequence}.nii.gz", phantom.scan.with_array(array))
    write_nifti(study / f"{name}-seg.nii.gz", phantom.regions)
    return study


def write_ucsf(folder: Path, number: int, phantom: Phantom) -> Path:
    """Write one study as UCSF-BMSR does."""
    patient, visit = _visit(number)
    name = f"{100_100 + patient}{'AB'[visit]}"
    study = _made(folder / "UCSF_BrainMetastases_TRAIN" / name)
    made = sequences(phantom)
    images = {
        "T1pre": made.t1n,
        "T1post": made.t1c,
        "FLAIR": made.t2f,
        "subtraction": np.maximum(made.t1c - made.t1n, 0),
        "T2Synth": made.t2w,
        "seg": (phantom.regions.array == ENHANCING).astype(np.uint8),
        "BraTS-seg": phantom.regions.array,
    }
    for part, array in images.items():
        write_nifti(study / f"{name}_{part}.nii.gz", phantom.scan.with_array(array))
    return study


def write_brainmetshare(folder: Path, number: int, phantom: Phantom) -> Path:
    """Write one study as the PNG release of BrainMetShare does, on its spacing."""
    study = folder / "mets_stanford_releaseMask_train" / f"Mets_{number:03d}"
    made = sequences(phantom)
    lesion = (phantom.regions.array > 0) & (phantom.regions.array != OEDEMA)
    images = {"0": made.t1c, "1": made.t1n, "2": made.t1c, "3": made.t2f}
    stacks = {part: _bytes(_on_png_spacing(phantom.scan.with_array(array))) for part, array in images.items()}
    share = _on_png_spacing(phantom.scan.with_array(lesion.astype(np.float32)))
    stacks["seg"] = (share >= 0.5).astype(np.uint8) * np.uint8(255)
    for part, stack in stacks.items():
        _made(study / part)
        for index in range(stack.shape[2]):
            cv2.imwrite(str(study / part / f"{index}.png"), stack[:, :, index].T, PNG_QUICK)
    return study


def write_lgg(folder: Path, number: int, phantom: Phantom) -> Path:
    """Write some slices of one patient as the Kaggle LGG set does; its mask is all that is bright in FLAIR."""
    name = f"TCGA_PH_{number:04d}_20240101"
    study = _made(folder / "kaggle_3m" / name)
    made = sequences(phantom)
    channels = [_bytes(_upright(phantom, array)) for array in (made.t1n, made.t2f, made.t1c)]
    mask = _upright(phantom, phantom.regions.array) > 0
    heads = np.flatnonzero((channels[2] > HEAD_SHARE * 255).any(axis=(0, 1)))
    for place, z in enumerate(heads[np.unique(np.linspace(0, len(heads) - 1, LGG_SLICES).astype(int))], start=1):
        colours = [_fitted(channel[:, :, z]) for channel in reversed(channels)]  # OpenCV takes blue, green, red
        cv2.imwrite(str(study / f"{name}_{place}.tif"), np.stack(colours, axis=2))
        lesion = _fitted(mask[:, :, z].astype(np.uint8) * np.uint8(255))
        cv2.imwrite(str(study / f"{name}_{place}_mask.tif"), (lesion > 127).astype(np.uint8) * np.uint8(255))
    return study


LAYOUT_WRITERS: Mapping[str, WriteStudy] = MappingProxyType(
    {
        "brats-mets": write_brats,
        "ucsf-bmsr": write_ucsf,
        "brainmetshare": write_brainmetshare,
        "kaggle-lgg": write_lgg,
    }
)
"""By the name of the layout in `metseg_trainer.datasets`."""


def sequences(phantom: Phantom) -> Sequences:
    """Make stand-ins for the other sequences: nothing enhances in T1n, oedema and lesion are bright in T2."""
    t1c, regions = phantom.scan.array, phantom.regions.array
    bright = float(np.percentile(t1c, 99))
    head = t1c > HEAD_SHARE * bright
    t1n = np.where(regions == ENHANCING, t1c // 2, t1c)
    t2w = np.where(head, np.maximum(bright - t1c, 0), t1c)
    t2f = np.where(regions > 0, bright, t1c * 0.6)
    return Sequences(t1c, *(array.astype(np.int16) for array in (t1n, np.where(regions > 0, bright, t2w), t2f)))


def _write_one(folder: Path, layout: str, seed: int, preset: str, number: int) -> Path:
    return LAYOUT_WRITERS[layout](folder, number, make_phantom(scan_seed(seed, number), preset))


def _visit(number: int) -> tuple[int, int]:
    """Number of the patient and of the visit."""
    return (number - 1, 1) if number % 4 == 2 else (number, 0)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _bytes(array: Array) -> NDArray[np.uint8]:
    top = max(float(np.percentile(array, 99.8)), 1.0)
    return np.asarray(np.rint(np.clip(array / top, 0, 1) * 255), dtype=np.uint8)


def _on_png_spacing(volume: Volume) -> NDArray[np.float32]:
    """Resample to columns × rows × slices in radiological display, from feet to head."""
    upright = reoriented(volume, "LPS")
    array = upright.array.astype(np.float32)
    for axis, (now, wanted) in enumerate(zip(upright.spacing_mm, BRAINMETSHARE_SPACING_MM, strict=True)):
        count = int(array.shape[axis] * now / wanted)
        array = interpolated(array, axis, np.asarray(np.arange(count) * wanted / now, dtype=np.float64))
    return array


def _upright(phantom: Phantom, array: Array) -> Array:
    return reoriented(phantom.scan.with_array(array), "LPS").array


def _fitted(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fit columns × rows into a square of rows × columns, the aspect kept."""
    scale = LGG_SIDE / max(plane.shape)
    size = (round(plane.shape[0] * scale), round(plane.shape[1] * scale))
    rows = cv2.resize(np.ascontiguousarray(plane.T), size, interpolation=cv2.INTER_LINEAR)
    spare = [LGG_SIDE - n for n in rows.shape]
    return np.pad(rows, [(n // 2, n - n // 2) for n in spare])
