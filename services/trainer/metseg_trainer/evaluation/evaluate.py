"""Evaluation from end to end: a model, the cases it is judged on, the report it gets."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from metseg.inference.segment import Predict
from metseg.schemas.model_card import (
    CARD_PATH,
    LesionConfidence,
    MeasuredPoint,
    ModelCard,
    Preprocessing,
    TrainingData,
)
from metseg_trainer.datasets import Case, find_cases
from metseg_trainer.evaluation.calibration import JudgedLesion, calibrate, judge_lesions
from metseg_trainer.evaluation.cases import (
    CaseResult,
    NumberedLesions,
    OperatingPoint,
    SeenCase,
    find_numbered,
    find_predicted,
    judge,
    parts_by_threshold,
    see_cases,
    smallest_voxels,
)
from metseg_trainer.evaluation.model_card import make_card
from metseg_trainer.evaluation.operating_point import THRESHOLDS, ChosenPoints, choose_points, try_points
from metseg_trainer.evaluation.prediction_cache import PredictionCache
from metseg_trainer.evaluation.predictors import keras_predictor, saved_model_predictor
from metseg_trainer.evaluation.report import KEPT_APART, Report, read_report
from metseg_trainer.evaluation.scores import SetFindings
from metseg_trainer.metrics.bootstrap import interval_text
from metseg_trainer.metrics.detection import Detection, curve_point
from metseg_trainer.networks.presets import build_network
from metseg_trainer.networks.weights import load_weights, weights_digest
from metseg_trainer.recipes.recipe import Recipe
from metseg_trainer.training.run_folder import RunFolder
from metseg_trainer.training_data.sources import Paths, cases_of


@dataclass(frozen=True)
class Subject:
    """What is judged.

    Attributes:
        card: Its preprocessing is used, and its operating points where no others are chosen.
        predict: The network.
        cache: Where its predictions are kept; None keeps none.
    """

    card: ModelCard
    predict: Predict
    cache: PredictionCache | None = None

    @property
    def points(self) -> ChosenPoints:
        """The card's operating points."""
        point = OperatingPoint(self.card.threshold, self.card.min_lesion_mm3, self.card.min_lesion_px)
        return ChosenPoints(point, tuple(self.card.operating_points), tuple(self.card.confidence))

    def see(self, name: str, cases: Sequence[Case]) -> "tqdm[SeenCase]":
        """Send cases through the network, with a bar of that name."""
        seen = see_cases(cases, self.card, self.predict, cache=self.cache)
        return tqdm(seen, desc=name, total=len(cases), unit="case")

    def see_one(self, case: Case) -> SeenCase:
        """Send one case through the network."""
        return next(see_cases([case], self.card, self.predict, cache=self.cache))


def exported(folder: Path, cache: Path | None = None) -> Subject:
    """Take an exported model with its card."""
    card = ModelCard.read(folder / CARD_PATH)
    predict = saved_model_predictor(folder)
    digest = hashlib.sha256((folder / "saved_model.pb").read_bytes()).hexdigest()
    return Subject(card, predict, _cache(cache, digest, card.preprocessing))


def trained(folder: RunFolder, training_data: Sequence[TrainingData], cache: Path | None = None) -> Subject:
    """Take a training run's weights, in the half precision in which they ship.

    Args:
        folder: Of the run; the operating points are those of its report, where it has one.
        training_data: For the card.
        cache: Where predictions are kept.
    """
    recipe = folder.read_recipe()
    side = recipe.preprocessing.size
    network = build_network(recipe.network, recipe.preset, (side, side), classes=recipe.classes)
    load_weights(network, folder.weights)
    network.set_weights([values.astype("float16").astype("float32") for values in network.get_weights()])
    card = make_card(recipe, network, version=1, point=OperatingPoint(), scores=[], training_data=training_data)
    if folder.report.is_file():
        card = read_report(folder.report).write_into(card)
    kept = _cache(cache, f"{weights_digest(folder.weights)}{' pooled' * recipe.mirrored}", recipe.preprocessing)
    return Subject(card, keras_predictor(network, mirrored=recipe.mirrored), kept)


def kept_cases(recipe: Recipe, places: Paths) -> dict[str, list[Case]]:
    """List the cases that a recipe's training never sees; the synthetic ones are those of `places.phantoms`."""
    sets: dict[str, list[Case]] = {}
    for source in recipe.sources:
        cases = find_cases(places.phantoms) if source.folder is None else cases_of(source, places, "validation")
        if cases:
            sets[source.name] = cases
    return sets


def choose(subject: Subject, sets: Mapping[str, Sequence[Case]]) -> ChosenPoints:
    """Choose both operating points on these cases, and fit the confidence of what is found there."""
    points = choose_points(
        {name: [try_points(seen) for seen in subject.see(name, cases)] for name, cases in sets.items()}
    )
    return replace(points, confidence=tuple(_fit_confidence(subject, sets, points)))


def measure(
    subject: Subject,
    sets: Mapping[str, Sequence[Case]],
    points: ChosenPoints,
    *,
    command: str,
    partition: str = KEPT_APART,
) -> Report:
    """Judge a model on each set of cases.

    Args:
        subject: The model.
        sets: At least one case each.
        points: Everything is judged at the chosen point; the measured ones are counted too.
        command: What makes the report again.
        partition: How the cases were kept from training.
    """
    found = [_measure_set(subject, name, cases, points) for name, cases in sets.items()]
    return Report(points, found, command, partition)


def describe_point(measured: MeasuredPoint) -> str:
    """Say in a line what a point finds."""
    found = "no lesion to find" if measured.sensitivity is None else f"{measured.sensitivity:.1%} of lesions found"
    return (
        f"{measured.name}: threshold {measured.threshold:g}, {found}, "
        f"{measured.false_lesions_per_scan:.2f} false lesions a scan, mean Dice {measured.mean_dice:.3f} "
        f"({measured.scans} {measured.measured_on})"
    )


def describe_confidence(points: ChosenPoints) -> list[str]:
    """Say in a line for each threshold how far the confidence can be trusted, or that there is none."""
    fitted = {one.threshold: one for one in points.confidence}
    return [_confidence_line(threshold, fitted.get(threshold)) for threshold in points.thresholds]


def _confidence_line(threshold: float, one: LesionConfidence | None) -> str:
    if one is None:
        return f"confidence at threshold {threshold:g}: too few lesions to fit it"
    return (
        f"confidence at threshold {threshold:g}: {one.true_lesions} of {one.lesions} lesions true, "
        f"Brier score {one.brier:.3f} ({interval_text(one.brier_low, one.brier_high)}; of the share alone "
        f"{one.brier_of_share:.3f}), calibration error {one.calibration_error:.3f}"
    )


def _fit_confidence(
    subject: Subject, sets: Mapping[str, Sequence[Case]], points: ChosenPoints
) -> Iterator[LesionConfidence]:
    """Judge each case's lesions at each threshold, one case in memory at a time."""
    judged: dict[float, dict[str, list[JudgedLesion]]] = {threshold: {} for threshold in points.thresholds}
    for name, cases in sets.items():
        for seen in subject.see(f"{name}, confidence", cases):
            for threshold, found in judged.items():
                lesions = judge_lesions(seen, replace(points.point, threshold=threshold))
                found.setdefault(name, []).extend(lesions)
    for threshold, found in judged.items():
        fitted = calibrate(found, threshold)
        if fitted is not None:
            yield fitted


def _measure_set(subject: Subject, name: str, cases: Sequence[Case], points: ChosenPoints) -> SetFindings:
    results: list[CaseResult] = []
    screened: list[NumberedLesions] = []
    screening = points.screening
    wanted = sorted({*THRESHOLDS, *(one.threshold for one in points.measured)})
    counts: dict[float, list[Detection]] = {threshold: [] for threshold in wanted}
    volumes = True
    for seen in subject.see(name, cases):
        results.append(judge(seen, points.point))
        if not seen.is_picture and screening.threshold != points.point.threshold:
            screened.append(find_numbered(seen, find_predicted(seen, screening)))
        smallest = smallest_voxels(seen, points.point)
        for threshold, parts in parts_by_threshold(seen, wanted).items():
            counts[threshold].append(parts.detect(smallest))
        volumes = volumes and not seen.is_picture
    curve = {threshold: curve_point(threshold, detections) for threshold, detections in counts.items()}
    return SetFindings(
        name=name,
        results=results,
        curve=list(curve.values()),
        at_points={one.name: curve[one.threshold] for one in points.measured},
        volumes=volumes,
        screened=screened,
    )


def _cache(folder: Path | None, network: str, preprocessing: Preprocessing) -> PredictionCache | None:
    if folder is None:
        return None
    about = json.dumps([network, preprocessing.model_dump(mode="json")])
    return PredictionCache(folder / "predictions", about)
