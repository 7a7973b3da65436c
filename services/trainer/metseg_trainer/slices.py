"""Cases on the network's grid, made once by the very code that serves, kept in memory and in a cache folder."""

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metseg.card import Preprocessing
from metseg.errors import InputError
from metseg.prepare import prepare
from metseg.scan import Scan, read_scan
from metseg.volume import Volume
from metseg_trainer.datasets import Case

logger = logging.getLogger(__name__)

_HEAD_LEVEL = 25


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """One case as the network sees it.

    Attributes:
        name: The case's name.
        pixels: (slice, x, y) uint8.
        mask: (slice, x, y) of 0 and 1.
        kept: Indices of the slices that show head.
        centre: Middle of the head in the plane, in pixels.
    """

    name: str
    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    kept: NDArray[np.intp]
    centre: tuple[float, float]

    def stack(self, z: int, *, lone: bool = False) -> NDArray[np.uint8]:
        """Return slice `z` between its neighbours, (x, y, 3), as `Prepared.batches` does.

        Args:
            z: Index of the slice.
            lone: Let the slice stand in for its neighbours, as if it were a picture.
        """
        last = len(self.pixels) - 1
        around = (z, z, z) if lone else (max(z - 1, 0), z, min(z + 1, last))
        return np.stack([self.pixels[i] for i in around], axis=-1)


def read_case(case: Case) -> tuple[Scan, Volume]:
    """Read a case's image, and its mask as 0 and 1.

    Raises:
        InputError: A file cannot be read, or the mask lies on another grid than the image.
    """
    try:
        scan, mask = read_scan(case.image), read_scan(case.mask).volume
    except InputError as exc:
        raise type(exc)(f"{case.image.parent} / {case.name}: {exc}") from exc
    if mask.shape != scan.volume.shape:
        raise InputError(f"{case.mask} has {mask.shape} voxels, its image {case.image} has {scan.volume.shape}.")
    if not np.allclose(mask.affine, scan.volume.affine, atol=1e-2):
        raise InputError(f"{case.mask} has another affine than its image {case.image}.")
    return scan, mask.with_array((mask.array > 0).astype(np.uint8))


def prepare_case(case: Case, rules: Preprocessing) -> PreparedCase:
    """Bring one case to the network's grid."""
    scan, mask = read_case(case)
    prepared = prepare(scan, rules)
    return PreparedCase(
        case.name, prepared.pixels, prepared.transfer(mask), prepared.kept, _head_centre(prepared.pixels)
    )


def load_cases(cases: Iterable[Case], rules: Preprocessing, cache: Path) -> list[PreparedCase]:
    """Prepare cases, or take them from the cache where neither file nor rules have changed."""
    cache.mkdir(parents=True, exist_ok=True)
    return [_load_case(case, rules, cache) for case in cases]


def _load_case(case: Case, rules: Preprocessing, cache: Path) -> PreparedCase:
    key = [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in (case.image, case.mask)]
    digest = hashlib.sha256(json.dumps([key, rules.model_dump(mode="json")]).encode()).hexdigest()
    path = cache / f"{digest[:24]}.npz"
    if not path.exists():
        logger.debug("preparing", extra={"case": case.name})
        made = prepare_case(case, rules)
        unfinished = path.with_suffix(f".{os.getpid()}.part.npz")
        np.savez(unfinished, pixels=made.pixels, mask=made.mask, kept=made.kept, centre=np.array(made.centre))
        unfinished.replace(path)
        return made
    with np.load(path, allow_pickle=False) as kept:
        x, y = (float(value) for value in kept["centre"])
        return PreparedCase(case.name, kept["pixels"], kept["mask"], kept["kept"], (x, y))


def _head_centre(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    seen = (pixels > _HEAD_LEVEL).sum(axis=0)
    spans = [np.flatnonzero((seen > 0).sum(axis=1 - axis) >= 8) for axis in (0, 1)]
    x, y = (
        (float(span[0]) + float(span[-1])) / 2 if len(span) else (seen.shape[axis] - 1) / 2
        for axis, span in enumerate(spans)
    )
    return x, y
