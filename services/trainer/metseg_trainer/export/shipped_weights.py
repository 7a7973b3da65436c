"""Weights that ship with the project: beside them their card, and from both the exported model."""

from pathlib import Path

from metseg.errors import CardError
from metseg.schemas.model_card import ModelCard
from metseg_trainer.evaluation.model_card import describe_training_data, make_card
from metseg_trainer.evaluation.report import read_report
from metseg_trainer.export.saved_model import export_network, is_exported
from metseg_trainer.networks.presets import build_network
from metseg_trainer.networks.weights import load_weights, save_half_precision, weights_digest
from metseg_trainer.recipes.recipe import Recipe
from metseg_trainer.training.run_folder import RunFolder
from metseg_trainer.training_data.sources import Paths

WEIGHTS_ENDING = ".weights.h5"
CARD_ENDING = ".card.json"


def ship(folder: RunFolder, recipe: Recipe, places: Paths, shipped: Path, *, version: int) -> Path:
    """Write `<name>-<version>.weights.h5` in half precision with its card, from a run and its report.

    Returns:
        The weights.
    """
    side = recipe.preprocessing.size
    network = build_network(recipe.network, recipe.preset, (side, side), classes=recipe.classes)
    load_weights(network, folder.weights)
    findings = read_report(folder.report)
    data = describe_training_data(recipe, places)
    card = make_card(
        recipe, network, version=version, point=findings.point, scores=findings.scores, training_data=data
    )
    card = findings.write_into(card)
    path = shipped / f"{card.name}-{version}{WEIGHTS_ENDING}"
    save_half_precision(network, path)
    card.model_copy(update={"weights_sha256": weights_digest(path)}).write(_card_path(path))
    return path


def export_shipped(weights: Path, models: Path, *, again: bool) -> tuple[Path, bool]:
    """Export shipped weights.

    Args:
        weights: The weights file; its card lies beside it.
        models: The folder that TF Serving reads.
        again: Write even if this very model is there already.

    Returns:
        The model's folder, and whether it was written.

    Raises:
        CardError: The card is missing, or was written for other weights.
    """
    card = ModelCard.read(_card_path(weights))
    if card.weights_sha256 != weights_digest(weights):
        raise CardError(f"{_card_path(weights).name} was written for other weights than {weights.name}.")
    if not again and is_exported(card, models):
        return models / card.name / str(card.version), False
    side = card.preprocessing.size
    network = build_network(card.network, card.preset, (side, side), classes=card.classes)
    load_weights(network, weights)
    return export_network(network, card, models), True


def _card_path(weights: Path) -> Path:
    return weights.with_name(weights.name.removesuffix(WEIGHTS_ENDING) + CARD_ENDING)
