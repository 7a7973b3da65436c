"""Which lesion of a later scan is which of an earlier one, once it is known how the head lay.

Two lesions belong together where they overlap by a tenth of the smaller one. What is then left over on both
sides belongs together where it is nearer than the error of a registration. All that hangs together is one row,
so that one lesion may become many and many one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from metseg.imaging.volume import Volume, apply_affine
from metseg.schemas.follow_up import ChangeKind, LesionChange
from metseg.schemas.report import Lesion

SMALLEST_SHARE: Final = 0.1
NEAREST_MM: Final = 2.0
"""What a registration may be wrong by, between the middles of two voxels."""
GROWN_PERCENT, SHRUNK_PERCENT = 20.0, -20.0
"""Changes of volume; less than this a second scan of the same lesion may show as well."""

KINDS: Final = {
    ChangeKind.NEW: "No lesion of the earlier scan lies there.",
    ChangeKind.GROWN: f"Its volume is larger by {GROWN_PERCENT:g} % or more.",
    ChangeKind.STABLE: "Its volume changed by less than that.",
    ChangeKind.SHRUNK: f"Its volume is smaller by {-SHRUNK_PERCENT:g} % or more.",
    ChangeKind.GONE: "No lesion of the later scan lies there.",
    ChangeKind.SPLIT: "It fell into several parts, which are measured together.",
    ChangeKind.MERGED: "Several lesions became one, or no more than there were.",
}

Motion = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """A scan's lesions; `labels` numbers them in space."""

    lesions: list[Lesion]
    labels: Volume


@dataclass(frozen=True)
class Group:
    """Lesions that belong together, by number; one of the sides may be empty."""

    before: tuple[int, ...]
    now: tuple[int, ...]


def match(before: Measured, now: Measured, to_before: Motion) -> list[Group]:
    """Tell which lesions belong together.

    Args:
        before: The earlier scan.
        now: The later one.
        to_before: (4, 4), takes RAS+ millimetres of the later scan to those of the earlier one.

    Returns:
        Every lesion of both in one group: by the earlier scan's first number, the new ones last.
    """
    links = _overlapping(before, now, to_before)
    links |= _near(before, now, to_before, links)
    old = [lesion.label for lesion in before.lesions]
    new = [lesion.label for lesion in now.lesions]
    rows = [old.index(one) for one, _ in sorted(links)]
    columns = [len(old) + new.index(other) for _, other in sorted(links)]
    size = len(old) + len(new)
    if not size:
        return []
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(size, size))
    _, parts = connected_components(graph, directed=False)
    groups = []
    for part in dict.fromkeys(parts.tolist()):
        members = np.flatnonzero(parts == part).tolist()
        groups.append(
            Group(
                tuple(old[one] for one in members if one < len(old)),
                tuple(new[one - len(old)] for one in members if one >= len(old)),
            )
        )
    return groups


def changes_of(
    groups: Iterable[Group], before: Measured, now: Measured, *, targets: Iterable[int] = ()
) -> list[LesionChange]:
    """What became of the lesions of each group.

    Args:
        groups: As `match` found them.
        before: The earlier scan.
        now: The later one.
        targets: Numbers of the target lesions of the earlier scan.
    """
    chosen = set(targets)
    changes = []
    for group in groups:
        volume_before, longest_before = sizes(before, group.before)
        volume_now, longest_now = sizes(now, group.now)
        volume_change = percent(volume_before, volume_now)
        changes.append(
            LesionChange(
                kind=_kind(group, volume_change),
                before=list(group.before),
                now=list(group.now),
                volume_before_mm3=volume_before,
                volume_now_mm3=volume_now,
                volume_change_percent=volume_change,
                longest_before_mm=longest_before,
                longest_now_mm=longest_now,
                longest_change_percent=percent(longest_before, longest_now),
                target=not chosen.isdisjoint(group.before),
            )
        )
    return changes


def sizes(measured: Measured, labels: Iterable[int]) -> tuple[float, float]:
    """Volume in mm³ and sum of the longest diameters in mm of some lesions; 0 for none."""
    wanted = set(labels)
    chosen = [lesion for lesion in measured.lesions if lesion.label in wanted]
    return (
        float(sum(lesion.volume_mm3 or 0.0 for lesion in chosen)),
        float(sum(lesion.longest_diameter_mm or 0.0 for lesion in chosen)),
    )


def percent(before: float, now: float) -> float | None:
    """Change in percent; None where nothing was there before."""
    return 100 * (now - before) / before if before > 0 else None


def _kind(group: Group, volume_change: float | None) -> ChangeKind:
    if not group.before or volume_change is None:
        return ChangeKind.NEW
    if not group.now:
        return ChangeKind.GONE
    if len(group.now) > len(group.before):
        return ChangeKind.SPLIT
    if len(group.before) > 1:
        return ChangeKind.MERGED
    if volume_change >= GROWN_PERCENT:
        return ChangeKind.GROWN
    return ChangeKind.SHRUNK if volume_change <= SHRUNK_PERCENT else ChangeKind.STABLE


def _overlapping(before: Measured, now: Measured, to_before: Motion) -> set[tuple[int, int]]:
    """Pairs that share a tenth of the smaller one, seen from the voxels of either side.

    The voxels of a coarse grid may pass by a small lesion of a fine one, so both are asked.
    """
    seen_now = _shared(now.labels, before.labels, to_before)
    seen_before = _shared(before.labels, now.labels, np.asarray(np.linalg.inv(to_before), np.float64))
    shared = dict(seen_before)
    for (label_now, label_before), mm3 in seen_now.items():
        pair = label_before, label_now
        shared[pair] = max(shared.get(pair, 0.0), mm3)
    volumes = [
        {lesion.label: lesion.voxels * side.labels.voxel_mm3 for lesion in side.lesions} for side in (before, now)
    ]
    return {
        (one, other)
        for (one, other), mm3 in shared.items()
        if mm3 >= SMALLEST_SHARE * min(volumes[0][one], volumes[1][other])
    }


def _shared(labels: Volume, others: Volume, motion: Motion) -> dict[tuple[int, int], float]:
    """Cubic millimetres that each lesion shares with each lesion of another scan, by this scan's voxels."""
    indices = np.argwhere(labels.array > 0)
    hits = np.rint(others.voxel(apply_affine(motion, labels.world(indices)))).astype(np.int64)
    within = ((hits >= 0) & (hits < others.shape)).all(axis=1)
    mine = labels.array[tuple(indices[within].T)]
    theirs = others.array[tuple(hits[within].T)]
    pairs, counts = np.unique(np.stack((mine, theirs))[:, theirs > 0], axis=1, return_counts=True)
    found = zip(pairs.T.tolist(), counts.tolist(), strict=True)
    return {(one, other): count * labels.voxel_mm3 for (one, other), count in found}


def _near(before: Measured, now: Measured, to_before: Motion, links: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Pairs of lesions that have no partner and lie next to each other."""
    linked_before, linked_now = {one for one, _ in links}, {other for _, other in links}
    trees = {
        lesion.label: cKDTree(before.labels.world(np.argwhere(before.labels.array == lesion.label)))
        for lesion in before.lesions
        if lesion.label not in linked_before
    }
    found = set()
    for lesion in now.lesions:
        if lesion.label in linked_now or not trees:
            continue
        points = apply_affine(to_before, now.labels.world(np.argwhere(now.labels.array == lesion.label)))
        gaps = {label: float(np.min(tree.query(points)[0])) for label, tree in trees.items()}
        nearest = min(gaps, key=lambda label: (gaps[label], label))
        if gaps[nearest] <= NEAREST_MM:
            found.add((nearest, lesion.label))
    return found
