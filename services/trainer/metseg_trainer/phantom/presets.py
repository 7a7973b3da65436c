"""What is drawn at random for a phantom, as data."""

from dataclasses import dataclass
from enum import StrEnum

Range = tuple[float, float]


class LesionKind(StrEnum):
    """How a lesion enhances."""

    SOLID = "solid"
    RING = "ring"
    CYSTIC = "cystic"


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
        bare_brain_share: Share of scans whose skull has been stripped.
        noise: Deviation of the noise relative to white matter.
        bias: Amplitude of the bias field, in log units.
        white: Stored value of white matter, drawn on a logarithmic scale.
        kinds: Kinds that occur.
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
    noise: Range = (0.01, 0.07)
    bias: Range = (0.0, 0.25)
    white: Range = (90.0, 4000.0)
    kinds: tuple[LesionKind, ...] = tuple(LesionKind)
    lesions: tuple[tuple[LesionKind, float], ...] | None = None


DEMO_LESIONS = (
    (LesionKind.RING, 25.0),
    (LesionKind.CYSTIC, 18.0),
    (LesionKind.RING, 13.0),
    (LesionKind.SOLID, 10.0),
    (LesionKind.SOLID, 7.0),
    (LesionKind.SOLID, 5.0),
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
}
"""By name: "clinical" to train on, "isotropic" 1 mm in RAS, "small" for quick tests; the last two make samples."""
