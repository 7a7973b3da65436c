"""Hard negatives: the lesion-free slices on which a network marks most, to be shown to it more often.

Slices are mined once, when a stage begins, and kept in a file of the run, so that a resumed run has the same ones.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metseg_trainer.batches.augmentation import Augmentation, Frame, augment
from metseg_trainer.batches.sampling import Pool

MOST_SEARCHED = 600
"""Lesion-free slices of a source that are looked at, drawn by chance from all of them."""

KEPT_SHARE = 0.15
"""Of those, the share on which most is marked becomes the hard negatives."""

_CHUNK = 64

Mined = dict[str, list[list[int]]]
"""By source, (case, slice) indices of its hard negatives, the hardest first."""


class Finder(Protocol):
    """Answers with the probability of lesion, (n, w, h, 1), for slices (n, w, h, 3)."""

    def __call__(self, slices: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probability."""


def mine(pools: Mapping[str, Pool], find: Finder, frame: Frame, seed: int) -> Mined:
    """Find the lesion-free slices of each pool on which most is marked.

    Args:
        pools: By source.
        find: The network, at the size of the frame.
        frame: The part of a slice that training sees.
        seed: Draws the slices that are looked at, where there are more than `MOST_SEARCHED`.
    """
    return {name: _mine_pool(pool, find, frame, np.random.default_rng(seed)) for name, pool in pools.items()}


def read_mined(path: Path, stage: int) -> Mined | None:
    """Read what was mined for a stage; None where nothing was."""
    if not path.exists():
        return None
    mined: Mined | None = json.loads(path.read_text(encoding="utf-8")).get(str(stage))
    return mined


def write_mined(path: Path, stage: int, mined: Mined) -> None:
    """Add what was mined for a stage; the file is replaced as a whole."""
    stages = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(json.dumps({**stages, str(stage): mined}) + "\n", encoding="utf-8")
    unfinished.replace(path)


def _mine_pool(pool: Pool, find: Finder, frame: Frame, rng: np.random.Generator) -> list[list[int]]:
    searched = rng.permutation(pool.without_lesion)[:MOST_SEARCHED]
    marked = [
        find(_unchanged(pool, searched[start : start + _CHUNK], frame)).sum(axis=(1, 2, 3))
        for start in range(0, len(searched), _CHUNK)
    ]
    if not marked:
        return []
    hardest = np.argsort(-np.concatenate(marked), kind="stable")[: max(round(KEPT_SHARE * len(searched)), 1)]
    return [[int(case), int(z)] for case, z in searched[hardest]]


def _unchanged(pool: Pool, pairs: NDArray[np.intp], frame: Frame) -> NDArray[np.uint8]:
    rng, still = np.random.default_rng(0), Augmentation()
    slices = []
    for case, z in pairs:
        made = pool.cases[case]
        slices.append(augment(rng, made.stack(z), made.mask[z], still, frame=frame, centre=made.centre)[0])
    return np.stack(slices)
