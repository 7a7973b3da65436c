"""What a data set can teach: how large, how many, how bright and of which build its lesions are.

Sizes and numbers are those of the masks; grey values are those that the network sees (`PreparedCase`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cc3d
import cv2
import numpy as np
from numpy.typing import NDArray

from metseg_trainer.datasets.enhancement import FEW, enhancing_share, surroundings_of
from metseg_trainer.datasets.prepared_cases import PreparedCase
from metseg_trainer.datasets.summary import CaseFacts
from metseg_trainer.implants.brain import find_brain
from metseg_trainer.metrics.lesionwise import ball_diameter

Slice = NDArray[np.uint8]
Region = NDArray[np.bool_]
Unit = Literal["mm", "px"]

CORE_FROM_PX = 4.0
"""A lesion has a core to compare with its rim if its middle is so deep inside of it."""

RIM_PX = 3.0
"""The rim is what is at most so deep inside a lesion, the core what is deeper and more than half as deep as the
middle."""

RING = 1.25
"""A lesion is a ring where its rim is so many times as bright as its core."""

STRIPPED_SHARE = 0.9
"""Where the brain fills more of the head, the skull was removed. Stripped phantoms have 0.96 and more, real heads
with a skull (Cheng, BTP) 0.81 and less in 44 of 45 slices."""


@dataclass(frozen=True)
class Look:
    """One lesion in the slice that shows most of it.

    Attributes:
        contrast: Its median grey value over that of its surroundings; None where there are none.
        rim: The median grey value of its rim over that of its core; None where it is too small to have one.
        enhances: Whether it takes up contrast agent.
    """

    contrast: float | None
    rim: float | None
    enhances: bool


@dataclass(frozen=True)
class CaseStatistics:
    """The lesions of one case.

    Attributes:
        group: The class of its lesion where a manifest names it.
        unit: Of the diameters: pixels for a picture, which does not tell its spacing.
        diameters: Of balls, or discs in a single slice, as large as the lesions.
        slices: Number of slices that show head.
        per_slice: Lesions in each slice that shows one.
        looks: See `Look`.
        has_skull: Whether there is a skull around the brain; None where no brain was found.
    """

    group: str | None
    unit: Unit
    diameters: tuple[float, ...]
    slices: int
    per_slice: tuple[int, ...]
    looks: tuple[Look, ...]
    has_skull: bool | None


def measure_case(facts: CaseFacts, prepared: PreparedCase) -> CaseStatistics:
    """Measure the lesions of one case."""
    lesions = cc3d.connected_components(np.asarray(prepared.mask > 0), connectivity=26)
    shown = [int(z) for z in prepared.lesion_slices()]
    return CaseStatistics(
        group=facts.case.label,
        unit="px" if facts.shape[2] == 1 and facts.spacing == (1.0, 1.0, 1.0) else "mm",
        diameters=tuple(_diameter(size, facts) for size in facts.lesion_sizes),
        slices=len(prepared.kept),
        per_slice=tuple(len(np.unique(lesions[z])) - 1 for z in shown),
        looks=tuple(_looks(prepared, lesions)),
        has_skull=_has_skull(prepared),
    )


def describe(statistics: Sequence[CaseStatistics]) -> list[str]:
    """Return the lines of a table: a column for all cases, and one for each class of lesion if several."""
    groups = sorted({case.group for case in statistics if case.group is not None})
    columns = [("", *_ROWS), ("all", *_cells(statistics))]
    if len(groups) > 1:
        columns += [(group, *_cells([case for case in statistics if case.group == group])) for group in groups]
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    ]


LEGEND = f"""\
Numbers with a range are the median and the 5th to 95th percentile. The diameter is that of a ball, or of a disc
in a single slice, as large as the lesion. Contrast is the grey value of a lesion over that of its surroundings.
A ring is a lesion whose rim is {RING} times as bright as its core, among those large enough to have a core."""
"""What the rows of `describe` mean."""

_ROWS = (
    *("cases", "slices of the head", "slices with a lesion", "lesions", "lesions per case"),
    *("lesions per slice with one", "diameter", "contrast", "rings", "enhancing lesions", "cases with a skull"),
)


def _cells(cases: Sequence[CaseStatistics]) -> tuple[str, ...]:
    looks = [look for case in cases for look in case.looks]
    diameters = {unit: [d for case in cases if case.unit == unit for d in case.diameters] for unit in ("mm", "px")}
    return (
        str(len(cases)),
        str(sum(case.slices for case in cases)),
        str(sum(len(case.per_slice) for case in cases)),
        str(sum(len(case.diameters) for case in cases)),
        _range((len(case.diameters) for case in cases), 0),
        _range((count for case in cases for count in case.per_slice), 0),
        ", ".join(f"{_range(sizes, 1)} {unit}" for unit, sizes in diameters.items() if sizes) or "–",
        _range((look.contrast for look in looks if look.contrast is not None), 2),
        _share(look.rim >= RING for look in looks if look.rim is not None),
        _share(look.enhances for look in looks),
        _share(case.has_skull for case in cases if case.has_skull is not None),
    )


def _range(values: Iterable[float], digits: int) -> str:
    known = list(values)
    if not known:
        return "–"
    low, middle, high = np.percentile(known, (5, 50, 95))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _share(flags: Iterable[bool]) -> str:
    known = list(flags)
    return f"{100 * sum(known) / len(known):.0f} % of {len(known)}" if known else "–"


def _diameter(voxels: int, facts: CaseFacts) -> float:
    x, y, z = facts.spacing
    if facts.shape[2] == 1:
        return float(2 * np.sqrt(voxels * x * y / np.pi))
    return ball_diameter(voxels * x * y * z)


def _looks(prepared: PreparedCase, lesions: NDArray[np.unsignedinteger[Any]]) -> Iterable[Look]:
    for number in range(1, int(lesions.max(initial=0)) + 1):
        z = int((lesions == number).sum(axis=(1, 2)).argmax())
        pixels, region = np.asarray(prepared.pixels[z]), lesions[z] == number
        around = surroundings_of(pixels, region)
        contrast = float(np.median(pixels[region]) / np.median(around)) if len(around) else None
        yield Look(contrast, _rim(pixels, region), enhancing_share(pixels, region.astype(np.uint8)) >= FEW)


def _rim(pixels: Slice, region: Region) -> float | None:
    depth = cv2.distanceTransform(np.pad(region.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    if depth.max() < CORE_FROM_PX:
        return None
    core = np.median(pixels[depth > max(RIM_PX, depth.max() / 2)])
    return float(np.median(pixels[region & (depth <= RIM_PX)]) / max(core, 1.0))


def _has_skull(prepared: PreparedCase) -> bool | None:
    """Tell it from the slice in the middle of those that show head."""
    if not len(prepared.kept):
        return None
    brain = find_brain(np.asarray(prepared.pixels[int(prepared.kept[len(prepared.kept) // 2])]))
    if brain is None:
        return None
    return bool(np.count_nonzero(brain.region) <= STRIPPED_SHARE * np.count_nonzero(brain.head))
