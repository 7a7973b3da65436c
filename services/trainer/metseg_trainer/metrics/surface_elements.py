"""The size of the piece of surface that a mask has at a corner shared by voxels.

The surface is that of marching cubes (Lorensen & Cline, SIGGRAPH 1987) through the middles of the edges between
voxel centres, which is what the surface metrics of Nikolov et al., "Deep learning to achieve clinically
applicable segmentation of head and neck anatomy", 2018, weigh their distances by. Eight voxels meet at a corner
(four in a plane), so a corner is one of 256 (16) patterns. The voxels of the rarer kind fall into groups that
share faces, and each group is cut off by planar patches, given here by their area vectors: component `a` is the
area seen along axis `a`, in voxel faces.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

Place = tuple[int, ...]
Patch = tuple[float, ...]


@lru_cache(maxsize=64)
def surface_elements(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the surface of each pattern: mm² for three axes, mm of outline for two.

    Args:
        spacing: Distance of voxel centres along each of two or three axes.

    Returns:
        (2 ** 2 ** axes,); bit `i` of the index is the voxel at place `i` of `corner_places`.
    """
    places = corner_places(len(spacing))
    faces = np.prod(spacing) / np.array(spacing)
    sizes = np.zeros(1 << len(places))
    for pattern in range(len(sizes)):
        inside = [place for bit, place in enumerate(places) if pattern >> bit & 1]
        if 2 * len(inside) > len(places):
            inside = [place for place in places if place not in inside]
        for group in _groups(inside):
            sizes[pattern] += sum(float(np.linalg.norm(np.array(patch) * faces)) for patch in _patches(group))
    sizes.setflags(write=False)
    return sizes


def corner_places(axes: int) -> list[Place]:
    """List the voxels around a corner, each coordinate 0 or 1."""
    return list(product((0, 1), repeat=axes))


def _groups(places: list[Place]) -> Iterator[list[Place]]:
    """Split places into those joined by faces."""
    left = list(places)
    while left:
        group = [left.pop()]
        for member in group:  # grows while it is walked through
            near = [place for place in left if _steps(member, place) == 1]
            group += near
            left = [place for place in left if place not in near]
        yield group


def _steps(one: Place, other: Place) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def _patches(group: list[Place]) -> list[Patch]:
    """Cut a group off from the rest of its corner."""
    axes = len(group[0])
    joints = [
        (one, other, _axis_between(one, other)) for one, other in combinations(group, 2) if _steps(one, other) == 1
    ]
    along = {axis for _, _, axis in joints}
    if len(group) == 1:
        return [(1 / 8,) * 3 if axes == 3 else (1 / 2,) * 2]
    if len(group) == 2:
        return [_vector(1 / 2 if axes == 3 else 1.0, set(range(axes)) - along, axes)]
    if len(group) == 3:
        return [_vector(1 / 2, {0, 1, 2} - along), (3 / 8,) * 3]
    if len(joints) == 4:
        return [_vector(1.0, {0, 1, 2} - along)]
    middle = {axis for one, other, axis in joints if _degree(one, joints) == _degree(other, joints) == 2}
    if not middle:
        return [(3 / 4,) * 3]
    return [(1 / 2,) * 3, *(_vector(1 / 4, middle | {axis}) for axis in along - middle)]


def _axis_between(one: Place, other: Place) -> int:
    return next(axis for axis, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)


def _degree(place: Place, joints: list[tuple[Place, Place, int]]) -> int:
    return sum(place in joint[:2] for joint in joints)


def _vector(size: float, seen_along: set[int], axes: int = 3) -> Patch:
    return tuple(size if axis in seen_along else 0.0 for axis in range(axes))
