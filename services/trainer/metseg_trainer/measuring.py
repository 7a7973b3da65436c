"""Evaluation from end to end: a model, the cases it is judged on, the report it gets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from metseg.card import CARD_PATH, ModelCard
from metseg.segment import Predict
from metseg_trainer.cards import make_card
from metseg_trainer.datasets import Case, find_cases
from metseg_trainer.evaluation import CaseResult, OperatingPoint, SeenCase, judge, see_cases
from metseg_trainer.networks.presets import build_network
from metseg_trainer.operating_point import choose_operating_point
from metseg_trainer.predictors import keras_predictor, saved_model_predictor
from metseg_trainer.recipes import Recipe
from metseg_trainer.reports import score_results, write_report
from metseg_trainer.run_folder import RunFolder
from metseg_trainer.sources import Places, cases_of
from metseg_trainer.weights import load_weights

COMMAND = "metseg-train evaluate --model models/{name}/{version} --data $METSEG_DATA"


@dataclass(frozen=True)
class Subject:
    """What is judged.

    Attributes:
        card: Its preprocessing is used, and its operating point where no other is named.
        predict: The network.
    """

    card: ModelCard
    predict: Predict

    @property
    def point(self) -> OperatingPoint:
        """The card's operating point."""
        return OperatingPoint(self.card.threshold, self.card.min_lesion_mm3, self.card.min_lesion_px)


def exported(folder: Path) -> Subject:
    """Take an exported model with its card."""
    return Subject(ModelCard.read(folder / CARD_PATH), saved_model_predictor(folder))


def trained(folder: RunFolder) -> Subject:
    """Take a training run's weights, in the half precision in which they ship."""
    recipe = folder.read_recipe()
    side = recipe.preprocessing.size
    network = build_network(recipe.network, recipe.preset, (side, side))
    load_weights(network, folder.weights)
    network.set_weights([values.astype("float16").astype("float32") for values in network.get_weights()])
    card = make_card(recipe, network, version=1, point=OperatingPoint(), scores=[], training_data=[])
    return Subject(card, keras_predictor(network))


def kept_cases(recipe: Recipe, places: Places) -> dict[str, list[Case]]:
    """List the cases that a recipe's training never sees; the synthetic ones are those of `places.phantoms`."""
    sets: dict[str, list[Case]] = {}
    for source in recipe.sources:
        cases = find_cases(places.phantoms) if source.folder is None else cases_of(source, places, "validation")
        if cases:
            sets[source.name] = cases
    return sets


def choose(subject: Subject, sets: Mapping[str, Sequence[Case]]) -> OperatingPoint:
    """Choose threshold and smallest lesion on these cases."""
    return choose_operating_point({name: list(_see(subject, name, cases)) for name, cases in sets.items()})


def measure(
    subject: Subject,
    sets: Mapping[str, Sequence[Case]],
    point: OperatingPoint,
    report: Path,
    *,
    say: Callable[[str], None],
) -> None:
    """Judge a model on each set of cases, write the report and tell its figures."""
    command = COMMAND.format(name=subject.card.name, version=subject.card.version)
    scores, everything = [], []
    for name, cases in sets.items():
        results: list[CaseResult] = []
        volumes = True
        for seen in _see(subject, name, cases):
            results.append(judge(seen, point))
            volumes = volumes and not seen.is_picture
        scores += score_results(name, results, lesions=volumes, command=command)
        everything += results
    write_report(report, point, scores, everything)
    for score in scores:
        say(
            f"{score.dataset}: {score.metric} {score.value:.3f} "
            f"({score.low:.3f} to {score.high:.3f}), {score.cases} cases"
        )
    say(f"Report in {report}")


def _see(subject: Subject, name: str, cases: Sequence[Case]) -> "tqdm[SeenCase]":
    return tqdm(see_cases(cases, subject.card, subject.predict), desc=name, total=len(cases), unit="case")
