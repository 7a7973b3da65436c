import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from metseg.card import ModelCard
from metseg.errors import InputError
from metseg.segment import Predict
from metseg.volume import Volume
from metseg_trainer.cards import make_card
from metseg_trainer.datasets import Case, find_cases
from metseg_trainer.evaluation import (
    CaseResult,
    OperatingPoint,
    SeenCase,
    dice,
    judge,
    mean_with_interval,
    see_cases,
    sensitivity_with_interval,
)
from metseg_trainer.measuring import Subject, measure
from metseg_trainer.networks.presets import build_network
from metseg_trainer.operating_point import choose_operating_point
from metseg_trainer.recipes import SHIPPED, Recipe
from metseg_trainer.reports import read_report, score_results
from metseg_trainer.sources import Places

CASE = Case("scan", "scan", Path("scan"), Path("scan"))


def _ball(shape: tuple[int, int, int], centre: tuple[float, float, float], radius: float) -> np.ndarray:
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return np.linalg.norm(grid - np.array(centre), axis=-1) <= radius


def _seen(truth: np.ndarray, probability: np.ndarray, spacing: float = 1.0, picture: bool = False) -> SeenCase:
    volume = Volume(truth.astype(np.uint16), np.diag([spacing, spacing, spacing, 1.0]))
    return SeenCase(CASE, volume, probability.astype(np.float32), picture, has_spacing=not picture)


@pytest.fixture
def two_balls() -> tuple[np.ndarray, np.ndarray]:
    """A large lesion that is seen, a small one that is missed, and two parts that are no lesions."""
    truth = np.zeros((40, 40, 20), np.uint16)
    truth[_ball(truth.shape, (12, 12, 10), 5)] = 1
    truth[_ball(truth.shape, (30, 30, 10), 2)] = 2
    probability = 0.9 * _ball(truth.shape, (13, 12, 10), 5)
    probability += 0.6 * _ball(truth.shape, (30, 10, 10), 2)
    probability[5, 35, 5] = 0.8
    return truth, probability


def test_a_touched_lesion_is_found_and_what_touches_none_is_false(
    two_balls: tuple[np.ndarray, np.ndarray],
) -> None:
    result = judge(_seen(*two_balls), OperatingPoint(0.5))
    assert result.found == (True, False)
    assert result.false_lesions == 2
    assert result.true_diameters_mm == pytest.approx((10, 4), rel=0.06)
    assert 0.6 < result.dice < 0.9


def test_threshold_and_smallest_lesion_remove_false_ones(two_balls: tuple[np.ndarray, np.ndarray]) -> None:
    assert judge(_seen(*two_balls), OperatingPoint(0.7)).false_lesions == 1
    assert judge(_seen(*two_balls), OperatingPoint(0.7, min_lesion_mm3=2)).false_lesions == 0
    assert judge(_seen(*two_balls), OperatingPoint(0.95)).found == (False, False)


def test_diameters_count_millimetres_and_not_voxels(two_balls: tuple[np.ndarray, np.ndarray]) -> None:
    single, double = (judge(_seen(*two_balls, spacing=s), OperatingPoint()).true_diameters_mm for s in (1.0, 2.0))
    assert double == pytest.approx([2 * diameter for diameter in single])


def test_dice_of_masks() -> None:
    mask = np.zeros((6, 6, 1), bool)
    mask[1:3, 1:3] = True
    nothing = np.zeros_like(mask)
    assert dice(mask, mask) == 1
    assert dice(nothing, nothing) == 1
    assert dice(mask, nothing) == dice(nothing, mask) == 0
    assert dice(mask, np.roll(mask, 1, axis=0)) == 0.5


def test_the_interval_holds_the_mean_and_narrows_with_more_cases() -> None:
    rng = np.random.default_rng(0)
    few, many = (mean_with_interval(rng.uniform(0, 1, n).tolist()) for n in (10, 1000))
    assert few.low < few.value < few.high
    assert many.high - many.low < (few.high - few.low) / 5
    assert mean_with_interval([0.5]).low == 0.5


def test_sensitivity_counts_large_lesions_alone() -> None:
    results = [
        CaseResult("a", None, 0.5, (20.0, 9.0, 3.0), (True, True, False), 0),
        CaseResult("b", None, 0.5, (8.0,), (False,), 0),
    ]
    sensitivity = sensitivity_with_interval(results)
    assert sensitivity is not None
    assert sensitivity.value == pytest.approx(2 / 3)
    assert sensitivity_with_interval([replace(results[0], true_diameters_mm=(3.0,), found=(True,))]) is None


def test_the_operating_point_trades_false_lesions_for_found_ones(two_balls: tuple[np.ndarray, np.ndarray]) -> None:
    truth, probability = two_balls
    point = choose_operating_point({"volumes": [_seen(truth, probability)]})
    result = judge(_seen(truth, probability), point)
    assert result.found[0]
    assert result.false_lesions == 0
    assert point.min_lesion_px == 0


def test_scores_name_their_command_and_classes() -> None:
    results = [CaseResult(str(i), "ab"[i % 2], 0.4 + 0.2 * (i % 2), (), (), 0) for i in range(10)]
    scores = score_results("set", results, lesions=False, command="do this")
    assert [(score.metric, score.value) for score in scores] == [
        ("mean Dice", 0.5),
        ("mean Dice, a", 0.4),
        ("mean Dice, b", 0.6),
    ]
    assert {score.command for score in scores} == {"do this"}


def _bright_is_lesion(level: int) -> Predict:
    def predict(batches):
        for batch in batches:
            yield (batch[..., 1:2] > level).astype(np.float32)

    return predict


@pytest.fixture
def card(tiny_recipe: tuple[Recipe, Places]) -> ModelCard:
    recipe, _ = tiny_recipe
    network = build_network("attention_unet", "tiny", (64, 64))
    return make_card(recipe, network, version=1, point=OperatingPoint(), scores=[], training_data=[])


def test_pictures_go_the_way_of_serving(card: ModelCard, write_cases, tmp_path: Path) -> None:
    cases = find_cases(write_cases(tmp_path / "set"))
    results = [judge(seen, OperatingPoint()) for seen in see_cases(cases, card, _bright_is_lesion(200))]
    assert len(results) == 4
    assert min(result.dice for result in results) > 0.95


def test_each_label_of_a_volume_is_a_lesion(card: ModelCard, tmp_path: Path) -> None:
    labels = np.zeros((60, 60, 12), np.uint8)
    labels[20:30, 20:30, 4:8] = 1
    labels[30:36, 20:30, 4:8] = 2
    image = 50 * _ball(labels.shape, (30, 30, 6), 28) + 150 * (labels > 0)
    for ending, array in (("t1c", image.astype(np.int16)), ("mask", labels)):
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / f"a_{ending}.nii.gz")
    (seen,) = see_cases(find_cases(tmp_path), card, _bright_is_lesion(200))
    result = judge(seen, OperatingPoint())
    assert result.found == (True, True)
    assert result.false_lesions == 0
    assert result.dice > 0.95


def test_the_report_holds_scores_and_every_case(card: ModelCard, write_cases, tmp_path: Path) -> None:
    cases = find_cases(write_cases(tmp_path / "set"))
    said: list[str] = []
    point = OperatingPoint(0.4, 5.0, 3)
    subject = Subject(card, _bright_is_lesion(200))
    measure(subject, {"own": cases}, point, tmp_path / "out" / "report.json", say=said.append)
    read_point, scores = read_report(tmp_path / "out" / "report.json")
    assert read_point == point
    assert scores[0].dataset == "own"
    assert scores[0].value > 0.95
    assert len(json.loads((tmp_path / "out" / "report.json").read_text())["cases"]) == 4
    assert any("mean Dice" in line for line in said)


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(InputError, match="no report"):
        read_report(tmp_path / "report.json")


def test_the_shipped_card_speaks_plainly_of_its_limits() -> None:
    network = build_network("attention_unet", "tiny", (64, 64))
    card = make_card(SHIPPED, network, version=1, point=OperatingPoint(), scores=[], training_data=[])
    assert "never seen a brain metastasis" in card.limits[0]
    assert "Not a medical device" in card.intended_use
    assert {source.terms.licence for source in SHIPPED.sources} >= {"CC BY 4.0", "CC BY 3.0"}
