import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import phantoms
import pytest
from calibrated import fitted
from seen_cases import ball

from metseg.errors import InputError
from metseg.inference.segment import Predict
from metseg.schemas.model_card import ModelCard, Preprocessing
from metseg_trainer.datasets import Case, find_cases
from metseg_trainer.evaluation.cases import OperatingPoint, judge, see_cases
from metseg_trainer.evaluation.evaluate import Subject, choose, describe_confidence, measure
from metseg_trainer.evaluation.model_card import make_card
from metseg_trainer.evaluation.operating_point import THRESHOLDS, ChosenPoints, choose_points, try_points
from metseg_trainer.evaluation.prediction_cache import PredictionCache
from metseg_trainer.evaluation.report import read_report
from metseg_trainer.networks.presets import build_network
from metseg_trainer.recipes.recipe import Recipe
from metseg_trainer.recipes.shipped import RECIPES, SHIPPED
from metseg_trainer.reporting.write_evaluation import write_evaluation


def _bright_is_lesion(level: int) -> Predict:
    def predict(batches):
        for batch in batches:
            yield (batch[..., 1:2] > level).astype(np.float32)

    return predict


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return phantoms.card(preprocessing=Preprocessing(size=64))


def test_pictures_go_the_way_of_serving(card: ModelCard, write_cases, tmp_path: Path) -> None:
    cases = find_cases(write_cases(tmp_path / "set"))
    results = [judge(seen, OperatingPoint()) for seen in see_cases(cases, card, _bright_is_lesion(200))]
    assert len(results) == 4
    assert min(result.dice for result in results) > 0.95


def test_each_label_of_a_volume_is_a_lesion(card: ModelCard, tmp_path: Path) -> None:
    labels = np.zeros((60, 60, 12), np.uint8)
    labels[20:30, 20:30, 4:8] = 1
    labels[30:36, 20:30, 4:8] = 2
    image = 50 * ball(labels.shape, (30, 30, 6), 28) + 150 * (labels > 0)
    for ending, array in (("t1c", image.astype(np.int16)), ("mask", labels)):
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / f"a_{ending}.nii.gz")
    (seen,) = see_cases(find_cases(tmp_path), card, _bright_is_lesion(200))
    result = judge(seen, OperatingPoint())
    assert result.numbered.found == (True, True)
    assert result.numbered.false_lesions == 0
    assert result.dice > 0.95


def test_a_case_is_predicted_once(card: ModelCard, write_cases, tmp_path: Path) -> None:
    cases = find_cases(write_cases(tmp_path / "set"))
    asked: list[int] = []

    def counting(batches):
        for batch in batches:
            asked.append(len(batch))
            yield (batch[..., 1:2] / 255).astype(np.float32)

    cache = PredictionCache(tmp_path / "cache", "this model")
    first, again = (list(see_cases(cases, card, counting, cache=cache)) for _ in range(2))
    assert len(asked) == len(cases)
    for one, other in zip(first, again, strict=True):
        kept = np.where(one.probability >= 0.005, one.probability, 0)
        np.testing.assert_array_equal(other.probability, kept)
        assert (other.is_picture, other.has_spacing) == (one.is_picture, one.has_spacing)
    assert PredictionCache(tmp_path / "cache", "another model").load(cases[0]) is None
    cases[0].image.write_bytes(cases[1].image.read_bytes())
    assert cache.load(cases[0]) is None


def test_a_damaged_prediction_is_made_again(card: ModelCard, write_cases, tmp_path: Path) -> None:
    cases = find_cases(write_cases(tmp_path / "set", count=1))
    cache = PredictionCache(tmp_path / "cache", "this model")
    list(see_cases(cases, card, _bright_is_lesion(200), cache=cache))
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    (seen,) = see_cases(cases, card, _bright_is_lesion(200), cache=cache)
    assert judge(seen, OperatingPoint()).dice > 0.95


@pytest.fixture(scope="module")
def written(card: ModelCard, write_cases, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """An evaluation of four pictures: where it lies, and what was said."""
    folder = tmp_path_factory.mktemp("written")
    cases = find_cases(write_cases(folder / "set"))
    said: list[str] = []
    subject = Subject(card, _bright_is_lesion(200))
    measured = choose_points({"own": [try_points(seen) for seen in subject.see("own", cases)]}).measured
    points = ChosenPoints(OperatingPoint(0.4, 5.0, 3), measured)
    report = measure(subject, {"own": cases}, points, command="do this")
    path = folder / "out" / "report.json"
    write_evaluation(report, subject, {"own": cases}, path, say=said.append)
    return path, said


def test_the_report_holds_scores_and_every_case(written: tuple[Path, list[str]]) -> None:
    path, said = written
    findings = read_report(path)
    assert findings.point == OperatingPoint(0.4, 5.0, 3)
    assert (findings.scores[0].dataset, findings.scores[0].metric) == ("own", "mean Dice")
    assert findings.scores[0].value > 0.95
    document = json.loads(path.read_text())["sets"]["own"]
    assert len(document["cases"]) == 4
    assert document["cases"][0]["lesionwise"]["lesions"][0]["diameter_mm"] is None
    assert len(document["free_response_curve"]) == len(THRESHOLDS)
    assert any("mean Dice" in line for line in said)


def test_the_card_of_an_evaluation_holds_points_and_evidence(written: tuple[Path, list[str]]) -> None:
    card = ModelCard.read(written[0].with_suffix(".card.json"))
    assert card.threshold == 0.4
    assert [point.name for point in card.operating_points] == ["screening", "planning"]
    assert card.operating_points[1].sensitivity == 1
    assert card.evidence is not None
    assert "bootstrap over patients" in card.evidence.intervals
    assert any("BraTS-METS" in line for line in card.evidence.definitions)


def test_the_page_stands_alone_and_says_what_it_is(written: tuple[Path, list[str]]) -> None:
    page = written[0].with_suffix(".html").read_text()
    assert "For research use only" in page
    assert "Trained on" in page
    assert page.count("<svg") == 2
    assert page.count("data:image/png;base64,") == 3
    for outside in ("<script", "<link", "@import", 'src="http', 'href="http'):
        assert outside not in page


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Five heads with five balls each, of which the mask knows three."""
    folder = tmp_path_factory.mktemp("volumes")
    shape = (60, 60, 14)
    for number in range(5):
        balls = [ball(shape, (18 + 6 * one, 16 + 7 * one, 7), 3.2) for one in range(5)]
        truth = np.logical_or.reduce(balls[:3])
        image = 50 * ball(shape, (30, 30, 7), 28) + 150 * np.logical_or.reduce(balls)
        for ending, array in (("t1c", image.astype(np.int16)), ("mask", truth.astype(np.uint8))):
            nib.save(nib.Nifti1Image(array, np.eye(4)), folder / f"{number}_{ending}.nii.gz")
    return find_cases(folder)


def test_choosing_on_lesions_enough_fits_the_confidence_into_report_card_and_page(
    card: ModelCard, volumes: list[Case], tmp_path: Path
) -> None:
    subject = Subject(card, _bright_is_lesion(200))
    points = choose(subject, {"own": volumes})
    assert {one.threshold for one in points.confidence} == {one.threshold for one in points.measured}
    told = points.confidence[0]
    assert (told.lesions, told.true_lesions, told.patients) == (25, 15, 5)
    assert "15 of 25 lesions true" in describe_confidence(points)[0]
    report = measure(subject, {"own": volumes}, points, command="do this")
    path = tmp_path / "report.json"
    write_evaluation(report, subject, {"own": volumes}, path, say=lambda _: None)
    assert read_report(path).confidence == list(points.confidence)
    assert ModelCard.read(path.with_suffix(".card.json")).confidence == list(points.confidence)
    assert "Brier score" in path.with_suffix(".html").read_text()


def test_what_the_screening_point_finds_on_the_cases_judged_is_told(card: ModelCard, volumes: list[Case]) -> None:
    unsure = Subject(card, lambda batches: (0.9 * answer for answer in _bright_is_lesion(200)(batches)))
    chosen = choose(unsure, {"own": volumes[:2]})
    blind = replace(chosen, point=replace(chosen.point, threshold=0.95))
    report = measure(unsure, {"own": volumes[:2]}, blind, command="x")
    found = {score.metric: score.value for score in report.scores["own"]}
    assert found["lesion-wise sensitivity"] == found["false lesions a scan"] == 0
    assert found["false lesions a scan, at the screening point"] == 2


def test_what_is_measured_again_without_choosing_keeps_its_confidence(card: ModelCard) -> None:
    known = card.model_copy(update={"confidence": [fitted()]})
    assert Subject(known, _bright_is_lesion(200)).points.confidence == (fitted(),)


def test_too_few_lesions_are_said_to_be(written: tuple[Path, list[str]]) -> None:
    assert read_report(written[0]).confidence == []
    assert describe_confidence(ChosenPoints(OperatingPoint(0.4), ())) == [
        "confidence at threshold 0.4: too few lesions to fit it"
    ]


def test_a_report_of_before_the_confidence_is_still_read(written: tuple[Path, list[str]], tmp_path: Path) -> None:
    content = json.loads(written[0].read_text())
    del content["card"]["confidence"]
    (tmp_path / "report.json").write_text(json.dumps(content))
    assert read_report(tmp_path / "report.json") == read_report(written[0])


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(InputError, match="no report"):
        read_report(tmp_path / "report.json")


def _card_of(recipe: Recipe) -> ModelCard:
    network = build_network("attention_unet", "tiny", (64, 64))
    return make_card(recipe, network, version=1, point=OperatingPoint(), scores=[], training_data=[])


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_each_shipped_card_has_its_licence_and_speaks_plainly_of_its_limits(recipe: Recipe) -> None:
    card = _card_of(recipe)
    assert "never seen a brain metastasis" in card.limits[0]
    assert "Not a medical device" in card.intended_use
    assert card.licence.startswith("CC BY 4.0")
    assert {source.terms.licence for source in recipe.sources} >= {"CC BY 4.0", "CC BY 3.0"}


def test_the_card_of_ones_own_recipe_states_no_licence() -> None:
    assert _card_of(replace(SHIPPED, name="mine")).licence == "not stated"
