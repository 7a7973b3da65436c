"""What is painted into real slices, as data that a recipe can carry."""

from dataclasses import dataclass
from enum import StrEnum

from metseg.schemas.model_card import Intensity

Range = tuple[float, float]


class Kind(StrEnum):
    """How an implanted lesion enhances."""

    SOLID = "solid"
    RING = "ring"
    CYST = "thin-rimmed cyst"
    NODULE = "cyst with mural nodule"
    MULTILOCULAR = "multilocular cyst"
    CLUSTER = "cluster"
    PASTED = "pasted tumour"


@dataclass(frozen=True)
class Odds:
    """One line of the law of lesions.

    Attributes:
        kind: What is painted.
        diameter_mm: Smallest and largest diameter, drawn on a logarithmic scale; of a cluster's first part.
        weight: Relative frequency of this line.
    """

    kind: Kind
    diameter_mm: Range
    weight: float


USUAL_LESIONS = (
    Odds(Kind.SOLID, (2, 10), 36),
    Odds(Kind.SOLID, (10, 25), 6),
    Odds(Kind.SOLID, (25, 55), 3),
    Odds(Kind.RING, (4.5, 10), 13),
    Odds(Kind.RING, (10, 25), 6),
    Odds(Kind.RING, (25, 55), 3),
    Odds(Kind.CYST, (6, 10), 2),
    Odds(Kind.CYST, (10, 25), 5),
    Odds(Kind.CYST, (25, 55), 3),
    Odds(Kind.NODULE, (8, 10), 2),
    Odds(Kind.NODULE, (10, 25), 5),
    Odds(Kind.NODULE, (25, 55), 3),
    Odds(Kind.MULTILOCULAR, (12, 25), 3),
    Odds(Kind.MULTILOCULAR, (25, 55), 3),
    Odds(Kind.CLUSTER, (2, 10), 7),
)
"""60 % of 2 to 10 mm, 25 % of 10 to 25 mm, 15 % larger; 45 % solid, 22 % rings, 26 % cystic, 7 % clusters."""


@dataclass(frozen=True)
class ImplantSettings:
    """What `Implanter` paints; pairs are ranges, drawn uniformly.

    Attributes:
        lesions: The law of kinds and diameters.
        count: Fewest and most lesions of a slice; a cluster counts as one.
        empty: Share of slices that get distractors alone.
        pasted: Share of lesions that are real tumours pasted small, where there are any to paste.
        pasted_mm: Their diameters.
        enhancement: Brightness of what enhances relative to the tissue around it, shared by a slice.
        faint: Share of slices with `faint_enhancement` instead.
        faint_enhancement: Brightness of lesions that hardly enhance.
        grain: How much of the background's own texture shows through what enhances.
        core: Brightness of necrosis relative to white matter.
        cyst: Brightness of a cyst's content relative to cerebrospinal fluid.
        blur_px: Deviation of the blur of a lesion's edges, shared by a slice.
        oedema: Share of lesions over `oedema_from_mm` with a dark halo.
        oedema_from_mm: Smaller lesions have none.
        oedema_darkness: Factor of the grey values in a halo.
        oedema_reach_mm: How far a halo reaches from the surface.
        at_edge: Share of lesions at the brain's surface.
        distractors: Mean number of bright structures that are no lesion, a Poisson law.
        lone_neighbours: Chance that a lone slice gets neighbours: copies with the lesion's next cross-sections.
        lone_slice_mm: Distance of such neighbours.
        class_number: Value of implanted lesions in the mask.
        intensity: The rule by which grey values are scaled again after a lesion outshines the head.
    """

    lesions: tuple[Odds, ...] = USUAL_LESIONS
    count: tuple[int, int] = (1, 3)
    empty: float = 0.1
    pasted: float = 0.2
    pasted_mm: Range = (4.0, 25.0)
    enhancement: Range = (1.25, 2.3)
    faint: float = 0.15
    faint_enhancement: Range = (1.1, 1.25)
    grain: Range = (0.5, 1.1)
    core: Range = (0.35, 0.85)
    cyst: Range = (1.0, 1.3)
    blur_px: Range = (0.4, 1.2)
    oedema: float = 0.6
    oedema_from_mm: float = 10.0
    oedema_darkness: Range = (0.75, 0.95)
    oedema_reach_mm: Range = (2.0, 25.0)
    at_edge: float = 0.25
    distractors: float = 1.5
    lone_neighbours: float = 0.5
    lone_slice_mm: Range = (1.0, 6.0)
    class_number: int = 1
    intensity: Intensity = Intensity()
