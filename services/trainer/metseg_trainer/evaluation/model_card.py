"""Model cards from what a run, its data and its evaluation say."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import keras

from metseg.schemas.model_card import ModelCard, Score, TrainingData
from metseg_trainer.datasets.splits import split_digest
from metseg_trainer.evaluation.cases import OperatingPoint
from metseg_trainer.networks.batch_norm_folding import count_gflop
from metseg_trainer.recipes.recipe import Recipe, Source
from metseg_trainer.recipes.shipped import RECIPES
from metseg_trainer.software_versions import software_versions
from metseg_trainer.training_data.manifest import build_manifest
from metseg_trainer.training_data.sources import Paths

WEIGHTS_LICENCE = "CC BY 4.0, with the attributions of the training data"

INTENDED_USE = (
    "Research and demonstration: outlines bright lesions in axial T1-weighted contrast-enhanced "
    "brain MRI. Not a medical device; not for diagnosis, treatment or triage."
)

SHIPPED_LIMITS = (
    "It has never seen a brain metastasis: it was trained on enhancing primary tumours (glioma, meningioma, "
    "pituitary tumour; glioblastoma) and on synthetic heads with made-up lesions. No score here speaks of "
    "metastases.",
    "The synthetic scores tell how well it does on images of the kind it was made from; real scans are harder.",
    "Glioma is its weakest class: the outlines it learnt from often follow the core and not what enhances.",
    "The validation slices were looked at to choose the best epoch, the threshold and the smallest lesion, so "
    "their scores are a little too good; the synthetic test scans were not.",
    "Lesions below 8 mm are often missed. Skull base, vessels, dura and scars may be taken for lesions.",
    "It expects contrast-enhanced T1 slices near axial; other sequences and planes were not tried.",
)

OWN_LIMITS = ("Trained on the images named here alone; nothing is known about its worth elsewhere.",)


def make_card(
    recipe: Recipe,
    network: keras.Model,
    *,
    version: int,
    point: OperatingPoint,
    scores: Sequence[Score],
    training_data: Sequence[TrainingData],
) -> ModelCard:
    """Write down what a trained network is; its weights' digest is filled in by `ModelCard.model_copy`."""
    shipped = recipe.name in RECIPES
    return ModelCard(
        name=recipe.network,
        version=version,
        network=recipe.network,
        preset=recipe.preset,
        classes=recipe.classes,
        mirrored=recipe.mirrored,
        preprocessing=recipe.preprocessing,
        threshold=point.threshold,
        min_lesion_mm3=point.min_lesion_mm3,
        min_lesion_px=point.min_lesion_px,
        parameters=network.count_params(),
        gflop_per_slice=round((1 + recipe.mirrored) * count_gflop(network), 2),
        training_data=list(training_data),
        scores=list(scores),
        weights_sha256="0" * 64,
        software=software_versions(),
        intended_use=INTENDED_USE,
        limits=list(SHIPPED_LIMITS if shipped else OWN_LIMITS),
        licence=WEIGHTS_LICENCE if shipped else "not stated",
        created_at=datetime.now(UTC).replace(microsecond=0),
    )


def describe_training_data(recipe: Recipe, places: Paths) -> list[TrainingData]:
    """Name each source with its terms, its lesions, the number of training cases and the digests of its files."""
    return [_describe_source(source, places) for source in recipe.sources]


def _describe_source(source: Source, places: Paths) -> TrainingData:
    manifest = build_manifest(source, places)
    return TrainingData(
        name=source.terms.title,
        licence=source.terms.licence,
        attribution=source.terms.attribution,
        cases=sum(case.part == "train" for case in manifest.cases),
        split_sha256=None if source.split is None else split_digest(_split_path(places, source.split)),
        disease=manifest.disease,
        sequence=manifest.sequence,
        layout=manifest.layout,
        target=manifest.target,
        manifest_sha256=manifest.digest,
    )


def _split_path(places: Paths, name: str) -> Path:
    return places.splits / f"{name}.json"
