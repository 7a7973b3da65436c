"""Measure what slices of heads are like: `METSEG_DATA=... python -m benchmarks.head_shape`.

It prints how far slices of heads lie from the rest, judged on patients that were left out, and writes
`head_shape.json` for the worker. Heads are those of `METSEG_DATA`, a tenth of the Cheng slices also with the skull
cut away, and the phantoms of `runs/phantoms`.
"""

import csv
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import metseg_worker.readers.head_shape as shapes
from benchmarks.gatekeeper import stripped
from metseg.imaging.limits import ReadLimits
from metseg.imaging.scan import read_scan
from metseg.imaging.volume import Volume
from metseg_worker.readers.dicom.read import read_dicom
from metseg_worker.readers.plausibility import middle_slices, slice_axis
from metseg_worker.readers.slice_features import signs_of

FOLDS = 5
STRIPPED_EVERY = 10
SLICES = 16
"""Of a volume, from its middle three fifths."""
RIDGE = 1e-3
"""Added to the diagonal of the covariance, as a share of it."""

Features = NDArray[np.float64]


def main() -> int:
    """Print quantiles of the distance and write the file."""
    data = Path(os.environ["METSEG_DATA"])
    by_source: dict[str, list[tuple[str, Features]]] = {}
    for source, group, pixels in slices(data):
        signs = signs_of(pixels)
        features = None if signs is None else shapes.features_of(pixels, signs)
        if features is not None:
            by_source.setdefault(source, []).append((group, features))
    everything = [(source, group, one) for source, rows in by_source.items() for group, one in rows]
    distances = left_out(everything)
    sys.stdout.write(f"{'':24}{'slices':>7}{'median':>8}{'99 %':>7}{'99.8 %':>8}{'most':>7}\n")
    for source in by_source:
        own = np.array([d for d, (name, _, _) in zip(distances, everything, strict=True) if name == source])
        levels = np.quantile(own, (0.5, 0.99, 0.998, 1))
        sys.stdout.write(
            f"{source:24}{len(own):7}{levels[0]:8.1f}{levels[1]:7.1f}{levels[2]:8.1f}{levels[3]:7.1f}\n"
        )
    write(fitted(np.array([one for _, _, one in everything])))
    return 0


def slices(data: Path) -> Iterator[tuple[str, str, NDArray[np.float32]]]:
    """Source, patient and pixels of slices of heads."""
    with (data / "cheng_t1c/slices.csv").open(encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file)):
            with Image.open(data / "cheng_t1c" / row["path"]) as image:
                pixels = np.asarray(image.convert("L"), dtype=np.uint8)
            yield f"Cheng, {row['plane']}", row["patient_group"], pixels.astype(np.float32)
            if number % STRIPPED_EVERY == 0:
                yield "Cheng, skull cut away", row["patient_group"], stripped(pixels).astype(np.float32)
    for path in sorted((data / "btp_t1c_nifti").glob("*_t1c.nii.gz")):
        volume = read_scan(path).volume.to_ras()
        yield from of_volume("Brain-Tumor-Progression", path.name[:5], volume)
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(sorted((data / "healthy_t1_dicom").glob("*.zip"))):
            zipfile.ZipFile(path).extractall(Path(folder) / str(number))
            files = sorted(one for one in (Path(folder) / str(number)).rglob("*") if one.is_file())
            yield from of_volume("healthy volunteers", path.name, opened(files))
        yield from of_volume("head of a volunteer", "head", opened(sorted((data / "dicom_t1_head").iterdir())))
    for path in sorted(Path("runs/phantoms").glob("*/images/*.nii.gz"))[::6]:
        yield from of_volume("phantoms", path.name, read_scan(path).volume.to_ras())


def opened(paths: list[Path]) -> Volume:
    """A series as the worker reads it."""
    return read_dicom(paths, None, ReadLimits()).volume.to_ras()


def of_volume(source: str, group: str, volume: Volume) -> Iterator[tuple[str, str, NDArray[np.float32]]]:
    """Slices of a volume, as the worker looks at them."""
    for pixels in middle_slices(volume.array, slice_axis(volume), SLICES):
        yield source, group, pixels


def fitted(features: Features) -> shapes.HeadShape:
    """Median and inverse covariance of (slices, features)."""
    mean = np.median(features, axis=0)
    covariance = np.cov((features - mean).T)
    precision = np.linalg.inv(covariance + RIDGE * np.diag(np.diag(covariance)))
    return shapes.HeadShape(mean, np.asarray(precision, dtype=np.float64))


def left_out(rows: list[tuple[str, str, Features]]) -> list[float]:
    """Distance of each slice from those of the other patients, by folds of patients."""
    groups = sorted({(source.split(",")[0], group) for source, group, _ in rows})
    fold_of = {group: number % FOLDS for number, group in enumerate(groups)}
    folds = np.array([fold_of[source.split(",")[0], group] for source, group, _ in rows])
    features = np.array([one for _, _, one in rows])
    models = [fitted(features[folds != fold]) for fold in range(FOLDS)]
    return [models[fold].distance(one) for fold, one in zip(folds, features, strict=True)]


def write(shape: shapes.HeadShape) -> None:
    """Write what the worker reads."""
    stored = {
        "features": shapes.FEATURES,
        "mean": np.round(shape.mean, 6).tolist(),
        "precision": np.round(shape.precision, 6).tolist(),
    }
    path = Path(shapes.__file__).with_suffix(".json")
    path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"written: {path.name}\n")


if __name__ == "__main__":
    raise SystemExit(main())
