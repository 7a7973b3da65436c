"""What the report of a result holds: the lesions with their measures, and all that is needed to understand them.

The schema is stored as `report.json`; it only ever grows. Coordinates are RAS+ millimetres.
"""

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field

from metseg.schemas.follow_up import FollowUp
from metseg.schemas.job import RESEARCH_USE_ONLY, ModelRef, Schema
from metseg.schemas.measured import Measured, NotNegative, Share
from metseg.schemas.model_card import Preprocessing

Point = tuple[Measured, Measured, Measured]
Pixel = tuple[Measured, Measured]


class Hemisphere(StrEnum):
    """On which side of the head's mid-sagittal plane something lies; `MIDDLE` is too near to it to tell."""

    LEFT = "left"
    RIGHT = "right"
    MIDDLE = "middle"


class Lesion(Schema):
    """One connected lesion, measured on the source grid.

    In-plane means in the slice nearest to axial in which the longest diameter lies. A picture fills the pixel
    fields; without known spacing every millimetre field is None, and a picture never has a volume or a place.

    Attributes:
        label: Its number in `lesions.nii.gz`; 1 is the largest.
        voxels: Voxels (pixels) that belong to it.
        equivalent_sphere_mm: Diameter of the ball of the same volume.
        longest_diameter_mm: Longest in-plane distance across it (`metseg.lesions.diameters`).
        perpendicular_diameter_mm: Longest chord at right angles to that, in the same slice.
        longest_diameter_ends_ras_mm, perpendicular_diameter_ends_ras_mm: Where those lines begin and end.
        longest_diameter_ends_px, perpendicular_diameter_ends_px: The same for a picture's lines in pixels.
        centroid_ras_mm: Mean position of its voxels.
        centroid_px: The same for a picture: column and row.
        mean_probability, max_probability: Mean and highest over its voxels, 0…1.
        member_probabilities: The mean of each member of the ensemble, in the order of `ModelRef.members`.
        disagreement: How far the lowest and the highest of these lie apart; None without an ensemble.
        touches_border: Whether it reaches the border of the image, which may cut it off.
        confidence: Probability that it is a true lesion, by the model card (`metseg.lesions.confidence`); None
            where the card has none for this threshold, for a picture, and where the border may cut the lesion off.
        slice_axis, slice_index: Where the longest diameter is seen: index along that axis of the source array.
        slices_spanned: Slices across that axis that show it.
        hemisphere: The side on which its centroid lies; None where no mid-sagittal plane was found
            (`Report.head`).
        right_of_midplane_mm: How far the centroid lies to the right of that plane; negative to the left.
        head_surface_mm: The shortest way from it to the surface of the head; None where that was not seen.

    What is None by default was not yet measured in reports written by earlier versions.
    """

    label: int = Field(ge=1)
    voxels: int = Field(ge=1)
    volume_mm3: Measured | None = None
    area_mm2: Measured | None = None
    area_px: int | None = None
    longest_diameter_mm: Measured | None = None
    perpendicular_diameter_mm: Measured | None = None
    longest_diameter_px: Measured | None = None
    perpendicular_diameter_px: Measured | None = None
    centroid_ras_mm: tuple[Measured, Measured, Measured] | None = None
    centroid_px: tuple[Measured, Measured] | None = None
    equivalent_sphere_mm: Measured | None = None
    longest_diameter_ends_ras_mm: tuple[Point, Point] | None = None
    perpendicular_diameter_ends_ras_mm: tuple[Point, Point] | None = None
    longest_diameter_ends_px: tuple[Pixel, Pixel] | None = None
    perpendicular_diameter_ends_px: tuple[Pixel, Pixel] | None = None
    mean_probability: Share
    max_probability: Share | None = None
    member_probabilities: list[Measured] | None = None
    disagreement: Share | None = None
    touches_border: bool | None = None
    confidence: Share | None = None
    slice_axis: int = Field(ge=0, le=2)
    slice_index: int = Field(ge=0)
    slices_spanned: int | None = Field(default=None, ge=1)
    hemisphere: Hemisphere | None = None
    right_of_midplane_mm: Measured | None = None
    head_surface_mm: NotNegative | None = None


class HeadInfo(Schema):
    """By what lesions are told to lie left or right, and why that or their distance from the surface is missing.

    Attributes:
        midplane_right_ras: Unit vector from the plane between left and right towards the patient's right.
        midplane_offset_mm: Of the plane's points along that vector, from the origin.
        midplane_likeness: Correlation of the head with its mirror image in that plane.
        not_told: Sentences on what could not be had, and why.
    """

    midplane_right_ras: Point | None = None
    midplane_offset_mm: Measured | None = None
    midplane_likeness: Measured | None = None
    not_told: list[str] = []


class SourceInfo(Schema):
    """The grid that came in and that the result lies on; `orientation` holds axis codes such as L, P, S."""

    kind: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[Measured, Measured, Measured] | None
    orientation: tuple[str, str, str]


class RanoRule(StrEnum):
    """The rules of RANO-BM by name; `RanoBm.rules` holds their sentences."""

    VOLUME = "volume"
    SPACING = "spacing_at_most_5_mm"
    LONGEST = "longest_at_least_10_mm"
    PERPENDICULAR = "perpendicular_at_least_5_mm"
    SLICES = "two_slices_or_more"
    MEASURABLE = "measurable"
    TARGETS = "up_to_five_targets"
    SUM = "sum_of_longest_diameters"


class RanoPlane(Schema):
    """Where diameters are measured: slices across an axis of the source array.

    Attributes:
        slice_axis: That axis, the one nearest to feet–head.
        tilt_degrees: Angle between these slices and the axial plane.
        pixel_spacing_mm: Steps along the two axes within a slice.
        slice_spacing_mm: Distance between the middles of two slices.
    """

    slice_axis: int = Field(ge=0, le=2)
    tilt_degrees: Measured = Field(ge=0, le=90)
    pixel_spacing_mm: tuple[Measured, Measured]
    slice_spacing_mm: Measured


class RanoVerdict(Schema):
    """What RANO-BM says of a lesion: `decided_by` is the first rule that it does not keep, else `measurable`."""

    label: int = Field(ge=1)
    measurable: bool
    target: bool
    decided_by: RanoRule


class RanoBm(Schema):
    """The lesions of one scan by RANO-BM (`metseg.response.rano_bm`).

    Attributes:
        reference: Where the rules come from.
        applies: Whether anything of this scan may be measured by them.
        decided_by: The rule on which that rests.
        plane: Where it was measured; None for a picture.
        rules: The sentence of each rule.
        not_judged: What RANO-BM asks for and was not looked at.
        lesions: A verdict on each lesion.
        targets: Numbers of the target lesions, the longest first.
        measurable_count: Measurable lesions, targets and others.
        sum_of_longest_diameters_mm: Over the targets; 0 without one.
        target_volume_mm3: Volume of the targets; that of all lesions is `Report.total_volume_mm3`.
    """

    reference: str
    applies: bool
    decided_by: RanoRule
    plane: RanoPlane | None
    rules: dict[RanoRule, str]
    not_judged: list[str] = []
    lesions: list[RanoVerdict] = []
    targets: list[int] = []
    measurable_count: int | None = None
    sum_of_longest_diameters_mm: Measured | None = None
    target_volume_mm3: Measured | None = None


class InputDigest(Schema):
    """One file that came in."""

    size_bytes: int = Field(ge=0)
    sha256: str


class MemberProvenance(Schema):
    """Weights and preprocessing of a member of the ensemble, in the order of `ModelRef.members`."""

    weights_sha256: str
    preprocessing: Preprocessing


class Provenance(Schema):
    """What a result was made from and with, beside the model and the versions that the report names.

    Attributes:
        inputs: The files that came, in their order.
        previous_inputs: Those of the uploaded prior; None without one.
        weights_sha256: Of the network's weights; of the ensemble, over the digests of its members'.
        preprocessing: What the model card asked for; of the ensemble, that of its first member.
        members: What each member of the ensemble was made from and with; None without an ensemble.
        device: What the model server runs on, as its operator states it; nobody measures it.
        processor: What the measuring ran on.
    """

    inputs: list[InputDigest]
    previous_inputs: list[InputDigest] | None = None
    weights_sha256: str
    preprocessing: Preprocessing
    device: str
    processor: str
    members: list[MemberProvenance] | None = None


class Report(Schema):
    """`report.json`: the measurements with all that is needed to understand them.

    The same input, model, build and device give the same report to the byte: `created_at` is when the job was
    accepted, and `timings_s` is empty; reports written by earlier versions hold the seconds of each stage.

    `disease_notice` is `ModelCard.disease_notice`. It is empty, and `rano_bm`, `head` and `provenance` are None,
    in reports written before 0.1. `follow_up` is None where there was no earlier scan to compare with.
    """

    schema_version: Literal[1] = 1
    research_use: str = RESEARCH_USE_ONLY
    job_id: str
    created_at: AwareDatetime
    model: ModelRef
    trained_on: list[str]
    disease_notice: str = ""
    threshold: float
    source: SourceInfo
    lesion_count: int = Field(ge=0)
    total_volume_mm3: Measured | None
    lesions: list[Lesion]
    rano_bm: RanoBm | None = None
    head: HeadInfo | None = None
    warnings: list[str]
    timings_s: dict[str, float] = {}
    software: dict[str, str]
    provenance: Provenance | None = None
    follow_up: FollowUp | None = None
