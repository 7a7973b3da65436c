"""Phantoms on disk: image, labels, truth and the notice of the anatomy's authors."""

import csv
import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metseg.imaging.nifti import write_nifti
from metseg.imaging.picture import write_picture
from metseg_trainer.phantom.anatomy import ICBM_NOTICE
from metseg_trainer.phantom.presets import PAIRED_PRESETS, PRESETS
from metseg_trainer.phantom.scan import Phantom, make_phantom, reoriented

SAMPLE_SEED = 20
PICTURE_SIDE = 512

SET_PRESETS = (*PRESETS, *PAIRED_PRESETS)
"""What a set of scans can be made of."""

OnScan = Callable[[Path], None]


def write_scans(
    folder: Path,
    *,
    count: int,
    seed: int,
    preset: str = "clinical",
    workers: int = 1,
    on_scan: OnScan | None = None,
) -> list[Path]:
    """Write `images/`, `masks/` and `truth/` with one file per phantom, and `NOTICE.txt`.

    Args:
        folder: Made if it is not there; files of the same names are replaced.
        count: How many; they are numbered from 1.
        seed: The set's seed; the number of workers changes nothing in what is written.
        preset: A name in `PRESETS` or `PAIRED_PRESETS`. Of the latter, each odd scan and the next one show one
            head, and `manifest.csv` names both as one patient's.
        workers: Processes to use.
        on_scan: Called with each image's path once its three files are there.

    Returns:
        The images, in order.

    Raises:
        KeyError: there is no preset of that name.
    """
    if preset not in SET_PRESETS:
        raise KeyError(f"expected a preset out of {', '.join(SET_PRESETS)}, got {preset}")
    for name in ("images", "masks", "truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "NOTICE.txt").write_text(ICBM_NOTICE, encoding="utf-8")
    if preset in PAIRED_PRESETS:
        _write_manifest(folder, count)
    paths = []
    for path in each_number(partial(_write_one, folder, seed, preset), count, workers):
        paths.append(path)
        if on_scan is not None:
            on_scan(path)
    return paths


def scan_seed(seed: int, number: int) -> int:
    """Derive the seed of scan `number` of a set, unlike that of any other set."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])


def write_phantom(phantom: Phantom, *, image: Path, mask: Path, truth: Path) -> None:
    """Write one phantom's three files; their folders must be there."""
    write_nifti(image, phantom.scan)
    write_nifti(mask, phantom.labels)
    text = json.dumps(truth_document(phantom), indent=2)
    truth.write_text(text + "\n", encoding="utf-8")


def truth_document(phantom: Phantom) -> dict[str, object]:
    """Make the JSON document that goes beside a phantom."""
    return {
        "schema_version": 1,
        "seed": phantom.seed,
        "preset": phantom.preset,
        "shape": list(phantom.scan.shape),
        "orientation": "".join(phantom.scan.orientation),
        "lesions": [asdict(lesion) for lesion in phantom.truth],
        "settings": phantom.settings,
    }


def write_samples(folder: Path) -> list[Path]:
    """Write the samples that ship with the project: a scan, one slice as a picture, and what is true of both.

    Returns:
        Every file written, the notice of the anatomy's authors last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scan, mask, truth, picture, picture_mask, notice = (
        folder / name
        for name in (
            "phantom_demo.nii.gz",
            "phantom_demo_mask.nii.gz",
            "phantom_demo_truth.json",
            "phantom_slice.png",
            "phantom_slice_mask.png",
            "NOTICE.txt",
        )
    )
    write_phantom(make_phantom(SAMPLE_SEED, "demo"), image=scan, mask=mask, truth=truth)
    pixels, lesion = _richest_slice(make_phantom(SAMPLE_SEED, "slice"))
    write_picture(picture, pixels)
    write_picture(picture_mask, lesion)
    notice.write_text(ICBM_NOTICE, encoding="utf-8")
    return [scan, mask, truth, picture, picture_mask, notice]


def _richest_slice(phantom: Phantom) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Take the axial slice with most lesions as 8-bit columns × rows, and its mask of 0 and 255."""
    image, labels = (reoriented(volume, "LPS").array for volume in (phantom.scan, phantom.labels))
    index = max(
        range(labels.shape[2]), key=lambda z: (len(np.unique(labels[..., z])), np.count_nonzero(labels[..., z]))
    )
    pixels = image[..., index].astype(np.float32)
    scaled = np.clip(pixels / np.percentile(pixels, 99.5), 0, 1) * 255
    return _squared(np.rint(scaled).astype(np.uint8)), _squared((labels[..., index] > 0).astype(np.uint8) * 255)


def _squared(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Surround a picture by black to `PICTURE_SIDE` pixels each way."""
    spare = [max(0, PICTURE_SIDE - n) for n in picture.shape]
    return np.pad(picture, [(n // 2, n - n // 2) for n in spare])


def each_number(write: Callable[[int], Path], count: int, workers: int) -> Iterator[Path]:
    """Write the scans 1 to `count`, in that order, in one process or several."""
    numbers = range(1, count + 1)
    if workers <= 1:
        yield from map(write, numbers)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(write, numbers)


def _write_one(folder: Path, seed: int, preset: str, number: int) -> Path:
    name = _name(number)
    image = folder / "images" / f"{name}.nii.gz"
    if preset in PAIRED_PRESETS:
        phantom = make_phantom(scan_seed(seed, _pair(number)), PAIRED_PRESETS[preset][(number - 1) % 2])
    else:
        phantom = make_phantom(scan_seed(seed, number), preset)
    write_phantom(
        phantom, image=image, mask=folder / "masks" / f"{name}.nii.gz", truth=folder / "truth" / f"{name}.json"
    )
    return image


def _write_manifest(folder: Path, count: int) -> None:
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "patient_id"))
        for number in range(1, count + 1):
            writer.writerow((f"images/{_name(number)}.nii.gz", f"head_{_pair(number):04d}"))


def _name(number: int) -> str:
    return f"phantom_{number:04d}"


def _pair(number: int) -> int:
    return (number + 1) // 2
