"""Cases on the network's grid, made once by the very code that serves, and kept in a cache folder.

The cache is mapped into memory, not read: a set larger than the memory trains too, and a slice comes from the disk
when it is first looked at.
"""

import hashlib
import json
import logging
import os
import resource
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metseg.errors import InputError
from metseg.imaging.scan import Scan
from metseg.imaging.volume import Volume
from metseg.inference.preprocessing import Prepared, prepare
from metseg.schemas.model_card import Preprocessing
from metseg_trainer.datasets import Case, read_image, read_mask
from metseg_trainer.datasets.cases import case_files

logger = logging.getLogger(__name__)

_HEAD_LEVEL = 25
CACHE_FORMAT = 2
"""Counts up when what is kept of a case changes."""

_SPARE_FILES = 256
"""Files that the rest of the program may have open beside the cache."""


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """One case as the network sees it.

    Attributes:
        name: The case's name.
        pixels: (slice, x, y) uint8.
        mask: (slice, x, y) uint8, 0 background, from 1 on the class.
        kept: Indices of the slices that show head.
        centre: Middle of the head in the plane, in pixels.
        marked: Indices of the slices that show a lesion; None where nobody has looked yet.
        lesion_class: What the 1 of `mask` stands for in training.
        spacing_mm: Distance of pixels along x and y, and of slices; 1 where it is not known.
    """

    name: str
    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    kept: NDArray[np.intp]
    centre: tuple[float, float]
    marked: NDArray[np.intp] | None = None
    lesion_class: int = 1
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def stack(self, z: int, *, lone: bool = False) -> NDArray[np.uint8]:
        """Return slice `z` between its neighbours, (x, y, 3), as `Prepared.batches` does.

        Args:
            z: Index of the slice.
            lone: Let the slice stand in for its neighbours, as if it were a picture.
        """
        last = len(self.pixels) - 1
        around = (z, z, z) if lone else (max(z - 1, 0), z, min(z + 1, last))
        return np.stack([self.pixels[i] for i in around], axis=-1)

    def classes(self, z: int) -> NDArray[np.uint8]:
        """Return the classes of slice `z` as training learns them, (x, y), 0 for background."""
        mask = self.mask[z]
        return np.where(mask == 1, np.uint8(self.lesion_class), mask)

    def lesion_slices(self) -> NDArray[np.intp]:
        """Return the indices of the slices that show a lesion."""
        return np.flatnonzero(self.mask.any(axis=(1, 2))) if self.marked is None else self.marked


def read_case(case: Case) -> tuple[Scan, Volume]:
    """Read a case's image, and its mask as uint8 classes: 0 background, from 1 on as its labelling says.

    Raises:
        InputError: A file cannot be read, the mask holds a value outside of its scheme, or it lies on another grid
            than the image.
    """
    scan, mask = read_image(case), read_mask(case)
    if mask.shape != scan.volume.shape:
        raise InputError(f"{case.mask} has {mask.shape} voxels, its image {case.image} has {scan.volume.shape}.")
    if not np.allclose(mask.affine, scan.volume.affine, atol=1e-2):
        raise InputError(f"{case.mask} has another affine than its image {case.image}.")
    return scan, mask


def prepare_case(case: Case, rules: Preprocessing) -> PreparedCase:
    """Bring one case to the network's grid."""
    scan, mask = read_case(case)
    prepared = prepare(scan, rules)
    classes = _transferred(prepared, mask, case.labelling.lesion_classes)
    made = PreparedCase(case.name, prepared.pixels, classes, prepared.kept, _head_centre(prepared.pixels))
    return replace(made, marked=made.lesion_slices(), spacing_mm=_spacing_mm(scan, prepared))


def load_cases(cases: Iterable[Case], rules: Preprocessing, cache: Path) -> list[PreparedCase]:
    """Prepare cases, or take them from the cache where neither files, labelling nor rules have changed.

    Raises:
        InputError: A case cannot be read, or there are more of them than the system lets one program open files.
    """
    cache.mkdir(parents=True, exist_ok=True)
    wanted = list(cases)
    _allow_open_files(len(wanted))
    return [_load_case(case, rules, cache) for case in wanted]


def _load_case(case: Case, rules: Preprocessing, cache: Path) -> PreparedCase:
    about, arrays = (cache / f"{_digest(case, rules)}{ending}" for ending in (".json", ".npy"))
    if not about.exists():
        logger.debug("preparing", extra={"case": case.name})
        _store(prepare_case(case, rules), about, arrays)
    facts = json.loads(about.read_text(encoding="utf-8"))
    pixels, mask = np.load(arrays, mmap_mode="r", allow_pickle=False)
    kept, marked = (np.array(facts[name], dtype=np.intp) for name in ("kept", "marked"))
    x, y = facts["centre"]
    return PreparedCase(case.name, pixels, mask, kept, (x, y), marked, spacing_mm=tuple(facts["spacing_mm"]))


def _store(made: PreparedCase, about: Path, arrays: Path) -> None:
    """Write the arrays, (2, slice, x, y), and then what says that they are whole."""
    unfinished = arrays.with_suffix(f".{os.getpid()}.part.npy")
    np.save(unfinished, np.stack([made.pixels, made.mask]), allow_pickle=False)
    unfinished.replace(arrays)
    facts = {
        "kept": made.kept.tolist(),
        "marked": made.lesion_slices().tolist(),
        "centre": made.centre,
        "spacing_mm": made.spacing_mm,
    }
    unfinished = about.with_suffix(f".{os.getpid()}.part.json")
    unfinished.write_text(json.dumps(facts), encoding="utf-8")
    unfinished.replace(about)


def _digest(case: Case, rules: Preprocessing) -> str:
    stats = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in case_files(case)]
    key = [
        CACHE_FORMAT,
        stats,
        case.channel,
        case.labelling.rule,
        case.labelling.classes,
        rules.model_dump(mode="json"),
    ]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]


def _transferred(prepared: Prepared, mask: Volume, classes: int) -> NDArray[np.uint8]:
    """Take classes to the network's grid: lesion where half of a pixel is, of the class that fills most of it."""
    if classes == 1:
        return prepared.transfer(mask)
    shares = np.stack([prepared.coverage(mask.with_array(mask.array == k)) for k in range(1, classes + 1)])
    largest = (shares.argmax(axis=0) + 1).astype(np.uint8)
    return np.where(shares.sum(axis=0) >= 0.5, largest, np.uint8(0))


def _allow_open_files(count: int) -> None:
    """Raise this program's limit of open files: each mapped case holds one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _SPARE_FILES
    if soft in (resource.RLIM_INFINITY, -1) or wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise InputError(
            f"expected to be allowed {wanted} open files for {count} cases, got a limit of {hard} (ulimit -n)."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _spacing_mm(scan: Scan, prepared: Prepared) -> tuple[float, float, float]:
    if not scan.has_spacing:
        return (1.0, 1.0, 1.0)
    x, y = prepared.grid.window
    return (x.spacing, y.spacing, float(scan.volume.to_ras().spacing_mm[2]))


def _head_centre(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    seen = (pixels > _HEAD_LEVEL).sum(axis=0)
    spans = [np.flatnonzero((seen > 0).sum(axis=1 - axis) >= 8) for axis in (0, 1)]
    x, y = (
        (float(span[0]) + float(span[-1])) / 2 if len(span) else (seen.shape[axis] - 1) / 2
        for axis, span in enumerate(spans)
    )
    return x, y
