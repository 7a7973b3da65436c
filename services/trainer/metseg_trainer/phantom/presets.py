"""What is drawn at random for a phantom, as data."""

from dataclasses import dataclass, replace
from enum import StrEnum

Range = tuple[float, float]


class LesionKind(StrEnum):
    """How a lesion enhances."""

    SOLID = "solid"
    RING = "ring"
    CYSTIC = "cystic"
    THIN_CYST = "thin_cyst"
    NODULAR_CYST = "cyst_with_nodule"
    MULTILOCULAR = "multilocular_cyst"
    CLUSTER = "cluster"


CYSTS = (LesionKind.CYSTIC, LesionKind.THIN_CYST, LesionKind.NODULAR_CYST, LesionKind.MULTILOCULAR)
"""Filled with fluid; a ring's core is necrosis."""


@dataclass(frozen=True)
class LesionShare:
    """One part of a mixture of lesions.

    Attributes:
        kind: How they enhance.
        weight: How often, relative to the other parts.
        diameter_mm: Smallest and largest, drawn on a logarithmic scale; of a cluster, each of its members.
    """

    kind: LesionKind
    weight: float
    diameter_mm: Range


@dataclass(frozen=True)
class PaintLaw:
    """How lesions look, in ranges that are drawn from uniformly.

    Attributes:
        enhancement: Brightness of the enhancing parts against white matter, or against the tissue where
            `on_tissue` says so; lesions of one scan differ a little.
        brightness: No lesion is fainter or brighter.
        faint_share: Share of scans whose lesions have a brightness of `faint` instead.
        faint: That brightness.
        texture: Relative deviation of the brightness within a lesion.
        texture_mm: Over which distance it varies.
        dimmest: No spot of the enhancing part is darker than this share of its brightness.
        fluid: Brightness of the fluid in cysts against the head's; `LesionKind.CYSTIC` always has 1.1.
        necrosis: Brightness of a ring's core.
        edge_mm: Deviation of the Gaussian that blurs the lesion's surface, without moving the mask.
        inner_edge_mm: The same between rim and core.
        on_tissue: Multiply what the tissue around shows, instead of painting over it.
    """

    enhancement: Range = (1.3, 2.3)
    brightness: Range = (1.2, 2.5)
    faint_share: float = 0.0
    faint: Range = (1.1, 1.25)
    texture: Range = (0.0, 0.14)
    texture_mm: float = 3.5
    dimmest: float = 0.0
    fluid: Range = (1.0, 1.3)
    necrosis: Range = (0.35, 0.85)
    edge_mm: Range = (0.0, 0.0)
    inner_edge_mm: Range = (0.0, 0.0)
    on_tissue: bool = False


@dataclass(frozen=True)
class PhantomPreset:
    """Ranges from which one scan's settings are drawn, uniformly where nothing else is said.

    Attributes:
        thick_share: Share of scans that are two-dimensional, with thick slices; the others are isotropic-like.
        thick_in_plane_mm: Pixel spacing of a thick-slice scan.
        thick_slice_mm: Slice distance of a thick-slice scan.
        thin_in_plane_mm: Voxel edge of an isotropic-like scan; its slice distance lies within 15 % of it.
        template_step: Grid of the anatomy in whole mm.
        diameter_mm: Smallest and largest lesion.
        median_diameter_mm: Median of the lognormal law of diameters before it is cut to `diameter_mm`.
        diameter_sigma: Its deviation in log units.
        no_lesion_share: Share of scans without any lesion.
        mean_lesions: Mean number of lesions (a geometric law) in the others.
        max_lesions: No scan has more.
        deformation: Largest relative change of the head's extent along an axis.
        tilt_deg: Largest rotation of the head in the scanner about each axis.
        oblique_share: Share of scans with a slice plane turned against the scanner's axes.
        oblique_deg: Largest angle of that turn.
        stored_axes: Orders and directions of the stored axes; drawn with equal odds.
        any_axes_share: Share of scans stored in any of the 48 orders instead.
        bare_brain_share: Share of scans that never had a skull.
        stripped_share: Share of the others whose skull has been stripped from the finished head: presets that
            differ in this share alone give the same brains.
        noise: Deviation of the noise relative to white matter.
        bias: Amplitude of the bias field, in log units.
        white: Stored value of white matter, drawn on a logarithmic scale.
        blur_mm: Deviation of the scanner's blur along axes finer than 2 mm.
        bias_knots: Along how many points of the longest axis the bias field varies.
        gamma: Power to which the image is raised, white matter staying where it is.
        paint: How lesions look.
        kinds: Kinds that occur where no mixture is named.
        mixture: Kinds and diameters together, instead of `diameter_mm`, `median_diameter_mm`, `diameter_sigma`
            and `kinds`; None draws by those.
        lesions: Kind and diameter in mm of exactly the lesions to place, largest first; None draws them.
    """

    thick_share: float = 0.5
    thick_in_plane_mm: Range = (0.45, 1.0)
    thick_slice_mm: Range = (2.0, 6.0)
    thin_in_plane_mm: Range = (0.85, 1.2)
    template_step: int = 1
    diameter_mm: Range = (2.0, 40.0)
    median_diameter_mm: float = 6.5
    diameter_sigma: float = 0.65
    no_lesion_share: float = 0.12
    mean_lesions: float = 4.0
    max_lesions: int = 12
    deformation: float = 0.1
    tilt_deg: float = 10.0
    oblique_share: float = 0.3
    oblique_deg: float = 15.0
    stored_axes: tuple[str, ...] = ("LPS", "RAS", "LAS", "PSR", "PIR", "LIP")
    any_axes_share: float = 0.2
    bare_brain_share: float = 0.08
    stripped_share: float = 0.0
    noise: Range = (0.01, 0.07)
    bias: Range = (0.0, 0.25)
    white: Range = (90.0, 4000.0)
    blur_mm: Range = (0.2, 0.55)
    bias_knots: int = 3
    gamma: Range = (1.0, 1.0)
    paint: PaintLaw = PaintLaw()
    kinds: tuple[LesionKind, ...] = (LesionKind.SOLID, LesionKind.RING, LesionKind.CYSTIC)
    mixture: tuple[LesionShare, ...] | None = None
    lesions: tuple[tuple[LesionKind, float], ...] | None = None


DEMO_LESIONS = (
    (LesionKind.RING, 25.0),
    (LesionKind.CYSTIC, 18.0),
    (LesionKind.RING, 13.0),
    (LesionKind.SOLID, 10.0),
    (LesionKind.SOLID, 7.0),
    (LesionKind.SOLID, 5.0),
)

METASTASES = (
    LesionShare(LesionKind.SOLID, 0.40, (2.0, 10.0)),
    LesionShare(LesionKind.CLUSTER, 0.07, (3.0, 8.0)),
    LesionShare(LesionKind.RING, 0.10, (5.0, 10.0)),
    LesionShare(LesionKind.THIN_CYST, 0.03, (6.0, 10.0)),
    LesionShare(LesionKind.SOLID, 0.04, (10.0, 25.0)),
    LesionShare(LesionKind.RING, 0.08, (10.0, 25.0)),
    LesionShare(LesionKind.THIN_CYST, 0.035, (10.0, 25.0)),
    LesionShare(LesionKind.NODULAR_CYST, 0.06, (10.0, 25.0)),
    LesionShare(LesionKind.MULTILOCULAR, 0.035, (12.0, 25.0)),
    LesionShare(LesionKind.SOLID, 0.01, (25.0, 55.0)),
    LesionShare(LesionKind.RING, 0.04, (25.0, 55.0)),
    LesionShare(LesionKind.THIN_CYST, 0.035, (25.0, 55.0)),
    LesionShare(LesionKind.NODULAR_CYST, 0.04, (25.0, 55.0)),
    LesionShare(LesionKind.MULTILOCULAR, 0.025, (25.0, 55.0)),
)
"""60 % have 2 to 10 mm, 25 % 10 to 25 and 15 % 25 to 55; 45 % are solid, 22 % rings, 10 % each of the cysts with a
thin rim and with a nodule, 6 % multilocular, 7 % clusters."""

HARD = (
    LesionShare(LesionKind.SOLID, 0.26, (2.5, 10.0)),
    LesionShare(LesionKind.CLUSTER, 0.07, (3.5, 7.0)),
    LesionShare(LesionKind.RING, 0.12, (6.0, 12.0)),
    LesionShare(LesionKind.RING, 0.15, (12.0, 40.0)),
    LesionShare(LesionKind.THIN_CYST, 0.12, (8.0, 40.0)),
    LesionShare(LesionKind.NODULAR_CYST, 0.18, (10.0, 45.0)),
    LesionShare(LesionKind.MULTILOCULAR, 0.10, (14.0, 45.0)),
)
"""More rings and cysts with a nodule than patients have, so that a few scans measure how many are found."""

_HARD = PhantomPreset(
    bare_brain_share=0.0,
    stripped_share=0.5,
    noise=(0.02, 0.07),
    bias=(0.1, 0.45),
    bias_knots=4,
    blur_mm=(0.4, 0.7),
    gamma=(0.85, 1.35),
    paint=PaintLaw(
        enhancement=(1.5, 2.2),
        brightness=(1.25, 2.5),
        faint_share=0.1,
        faint=(1.25, 1.45),
        texture=(0.03, 0.18),
        texture_mm=6.0,
        dimmest=0.85,
        fluid=(1.1, 1.7),
        necrosis=(0.3, 0.9),
        edge_mm=(0.2, 0.6),
        inner_edge_mm=(0.3, 0.7),
        on_tissue=True,
    ),
    mixture=HARD,
)

PRESETS: dict[str, PhantomPreset] = {
    "clinical": PhantomPreset(),
    "isotropic": PhantomPreset(
        thick_share=0.0,
        thin_in_plane_mm=(1.0, 1.0),
        oblique_share=0.0,
        stored_axes=("RAS",),
        any_axes_share=0.0,
        bare_brain_share=0.0,
        no_lesion_share=0.0,
        noise=(0.01, 0.03),
        bias=(0.0, 0.15),
    ),
    "small": PhantomPreset(
        thick_share=0.0,
        thin_in_plane_mm=(3.0, 3.0),
        template_step=3,
        diameter_mm=(8.0, 30.0),
        median_diameter_mm=14.0,
        max_lesions=4,
        mean_lesions=2.0,
        bare_brain_share=0.0,
    ),
    "demo": PhantomPreset(
        thick_share=1.0,
        thick_in_plane_mm=(0.94, 0.94),
        thick_slice_mm=(2.0, 2.0),
        oblique_share=0.0,
        stored_axes=("LPS",),
        any_axes_share=0.0,
        bare_brain_share=0.0,
        noise=(0.008, 0.008),
        bias=(0.1, 0.1),
        white=(56.0, 56.0),
        tilt_deg=4.0,
        lesions=DEMO_LESIONS,
    ),
    "slice": PhantomPreset(
        thick_share=1.0,
        thick_in_plane_mm=(0.5, 0.5),
        thick_slice_mm=(5.0, 5.0),
        oblique_share=0.0,
        stored_axes=("LPS",),
        any_axes_share=0.0,
        bare_brain_share=0.0,
        noise=(0.02, 0.02),
        bias=(0.1, 0.1),
        tilt_deg=4.0,
        lesions=DEMO_LESIONS,
    ),
    "metastases": PhantomPreset(
        bare_brain_share=0.0,
        stripped_share=0.4,
        paint=PaintLaw(
            enhancement=(1.25, 2.3),
            brightness=(1.1, 2.5),
            faint_share=0.15,
            dimmest=0.8,
            edge_mm=(0.0, 0.5),
            inner_edge_mm=(0.0, 0.5),
        ),
        mixture=METASTASES,
    ),
    "hard": _HARD,
    "hard_whole": replace(_HARD, stripped_share=0.0),
    "hard_stripped": replace(_HARD, stripped_share=1.0),
}
"""By name: "clinical" with fewer kinds, "isotropic" 1 mm in RAS, "small" for quick tests; "demo" and "slice" make
samples; "metastases" to train on; "hard" to test on, painted by other laws, and the same heads with and without
their skulls."""

PAIRED_PRESETS: dict[str, tuple[str, str]] = {"hard_pairs": ("hard_whole", "hard_stripped")}
"""Of a set that shows each head twice in turn: the presets of the first and of the second scan."""
