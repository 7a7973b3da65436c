"""Finds files that are byte for byte the same, as on disks that hold every image in two folders."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Final

START_BYTES: Final = 8 << 10
"""DICOM images of a series mostly share their size, but differ within the first kilobytes."""


def drop_copies(paths: Sequence[Path]) -> list[Path]:
    """Return the files in their order, each content once."""
    copies: set[Path] = set()
    for alike in _groups(paths, lambda path: path.stat().st_size):
        for alike_at_start in _groups(alike, _start_digest):
            for same in _groups(alike_at_start, _digest):
                copies.update(same[1:])
    return [path for path in paths if path not in copies]


def _groups(paths: Iterable[Path], key: Callable[[Path], Hashable]) -> list[list[Path]]:
    """The files that share a key with another one."""
    found: defaultdict[Hashable, list[Path]] = defaultdict(list)
    for path in paths:
        found[key(path)].append(path)
    return [group for group in found.values() if len(group) > 1]


def _start_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(START_BYTES)).digest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
