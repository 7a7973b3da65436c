"""The model card: what a model is, how its input is prepared, what it was trained on and how good it is.

It travels inside the SavedModel (`assets.extra/card.json`). The worker takes the preprocessing from it, so that
weights and preprocessing cannot be mixed up. Its parts follow Mitchell et al., "Model Cards for Model Reporting",
FAT* 2019, and the items of CLAIM 2024.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from metseg.errors import CardError

CARD_SCHEMA_VERSION = 1
CARD_PATH = Path("assets.extra") / "card.json"
NAME_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"
NOT_STATED = "not stated"
METASTASES = "metastas"
"""What the names of metastases have in common, one or many, of the brain or not."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CardPart(BaseModel):
    """A part of the card; unknown fields are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Intensity(CardPart):
    """How grey values become 0…255.

    `percentile`: linear from the `low` percentile of all voxels (0) to the `high` percentile of the voxels of the
    head (255), cut off beyond.
    """

    rule: Literal["percentile"] = "percentile"
    low: float = Field(default=0.5, ge=0, lt=50)
    high: float = Field(default=99.8, gt=50, le=100)


class Clahe(CardPart):
    """Contrast-limited adaptive histogram equalisation of the whole volume, after its grey values are 0…255.

    `clip_limit` counts in mean bins of a tile's histogram; `tiles` lie along each side of the window.
    """

    clip_limit: float = Field(default=2.0, ge=1, le=100)
    tiles: int = Field(default=8, ge=1, le=16)


class Preprocessing(CardPart):
    """The grid and the grey values that the network was trained on."""

    size: int = Field(default=256, ge=16, le=1024)
    spacing_mm: float = Field(default=1.0, gt=0, le=10)
    intensity: Intensity = Intensity()
    clahe: Clahe | None = None


class TrainingData(CardPart):
    """One source of training images with its terms.

    `disease` is what its lesions are, `target` what of them was outlined, `manifest_sha256` the digest over all
    its images and masks.
    """

    name: str
    licence: str
    attribution: str
    cases: int = Field(ge=0)
    split_sha256: Sha256 | None = None
    disease: str = NOT_STATED
    sequence: str = NOT_STATED
    layout: str = NOT_STATED
    target: str = NOT_STATED
    manifest_sha256: Sha256 | None = None


class Score(CardPart):
    """One measured figure; `low` and `high` are its 95 % confidence interval."""

    dataset: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    cases: int = Field(ge=0)
    command: str


class MeasuredPoint(CardPart):
    """A threshold with what it finds, measured on validation scans at the card's smallest lesion.

    `sensitivity` is the share of lesions that are found, by the rule of BraTS-METS; None where no scan has any.
    """

    name: Literal["screening", "planning"]
    rule: str
    threshold: float = Field(gt=0, lt=1)
    sensitivity: float | None = Field(default=None, ge=0, le=1)
    false_lesions_per_scan: float = Field(ge=0)
    mean_dice: float = Field(ge=0, le=1)
    scans: int = Field(ge=0)
    measured_on: str


class ConfidenceFeature(CardPart):
    """One feature of the confidence (`metseg.lesions.confidence`); it adds `weight` × (value - `mean`) / `sd`.

    `mean`, `sd`, `low` and `high` are those of the lesions it was fitted on; a value beyond `low` or `high` counts
    as that. No weight is negative: more of a feature never makes a lesion less likely.
    """

    name: Literal["log_diameter", "log_slices", "mean_probability"]
    definition: str
    mean: float
    sd: float = Field(gt=0)
    low: float
    high: float
    weight: float = Field(ge=0)


class LesionConfidence(CardPart):
    """How often a lesion that is found at a threshold is a true one: a logistic model of its features.

    `rule` says what counts as true and how it was fitted. The Brier score (mean square of confidence less outcome;
    with its 95 % interval), that of the mere share of true lesions, and the calibration error are those of lesions
    of patients who were left out of the fit.
    """

    threshold: float = Field(gt=0, lt=1)
    intercept: float
    features: list[ConfidenceFeature]
    rule: str
    lesions: int = Field(ge=1)
    true_lesions: int = Field(ge=0)
    patients: int = Field(ge=2)
    brier: float = Field(ge=0, le=1)
    brier_low: float | None = Field(default=None, ge=0, le=1)
    brier_high: float | None = Field(default=None, ge=0, le=1)
    brier_of_share: float = Field(ge=0, le=1)
    calibration_error: float = Field(ge=0, le=1)
    measured_on: str


class Evidence(CardPart):
    """What the scores rest on, by the items of CLAIM 2024 (Tejani et al., Radiol Artif Intell 2024).

    `by_size` tells sensitivity by class of lesion size, `by_kind` that of synthetic lesions by kind and with and
    without skull, `failures` where the model went wrong.
    """

    main_metric: str = NOT_STATED
    reference_standard: str = NOT_STATED
    partition: str = NOT_STATED
    definitions: list[str] = []
    intervals: str = NOT_STATED
    by_size: list[Score] = []
    by_kind: list[Score] = []
    failures: list[str] = []
    not_tested: list[str] = []


class ModelCard(CardPart):
    """What stands in `card.json`; `read` and `write` keep it whole.

    `classes` counts the channels of the network's own answer: 1 for lesion, more for background and its kinds.
    `mirrored` says that the served answer pools the network's for a slice and for its mirror image, left for right
    (the mean of their logits), at twice the cost; `gflop_per_slice` counts both.
    """

    schema_version: Literal[1] = 1
    name: str = Field(pattern=NAME_PATTERN)
    version: int = Field(ge=1)
    network: str
    preset: str
    preprocessing: Preprocessing
    threshold: float = Field(gt=0, lt=1)
    min_lesion_mm3: float = Field(ge=0)
    min_lesion_px: int = Field(ge=0)
    parameters: int = Field(ge=1)
    gflop_per_slice: float = Field(gt=0)
    training_data: list[TrainingData]
    scores: list[Score]
    weights_sha256: Sha256
    software: dict[str, str]
    intended_use: str
    limits: list[str]
    licence: str
    created_at: AwareDatetime
    classes: int = Field(default=1, ge=1)
    mirrored: bool = False
    operating_points: list[MeasuredPoint] = []
    confidence: list[LesionConfidence] = []
    evidence: Evidence | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a card.

        Raises:
            CardError: the file is missing, no JSON, or not a card of this schema.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as exc:
            raise CardError("expected a model card (card.json), but it cannot be read") from exc
        except ValidationError as exc:
            first = exc.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise CardError(f"the model card is not valid at '{where}': {first['msg']}") from exc

    def write(self, path: Path) -> None:
        """Write the card as indented JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n")

    @property
    def digest(self) -> str:
        """SHA-256 over all that decides a result: weights, preprocessing, what makes lesions, their confidence."""
        fields = {
            "name",
            "version",
            "weights_sha256",
            "preprocessing",
            "threshold",
            "min_lesion_mm3",
            "min_lesion_px",
        }
        if self.mirrored:  # cards written by earlier versions keep their digest
            fields.add("mirrored")
        if self.confidence:  # and so do these
            fields.add("confidence")
        decisive = self.model_dump(mode="json", include=fields, exclude_none=True)
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    @property
    def trained_on(self) -> list[str]:
        """Names of the training data, to be shown wherever a result is."""
        return [data.name for data in self.training_data]

    @property
    def diseases(self) -> list[str]:
        """What the lesions of the training data are, each named once; `NOT_STATED` where a source does not say."""
        named = [name.strip() for data in self.training_data for name in data.disease.split(",")]
        return list(dict.fromkeys(named)) or [NOT_STATED]

    @property
    def knows_metastases(self) -> bool:
        """Whether a source of the training data says that its lesions are metastases."""
        return any(METASTASES in disease.lower() for disease in self.diseases)

    @property
    def disease_notice(self) -> str:
        """One line on what the model has learnt to find, to be shown wherever a result is."""
        told = f"Trained on: {', '.join(self.diseases)}"
        if self.knows_metastases:
            return f"{told}."
        if self.diseases == [NOT_STATED]:
            return "Trained on: the disease is not stated."
        return f"{told} ({'metastases are not named' if NOT_STATED in self.diseases else 'not metastases'})."
