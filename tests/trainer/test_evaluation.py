import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import phantoms
import pytest

from metseg.card import ModelCard, Preprocessing
from metseg.errors import InputError
from metseg.segment import Predict
from metseg.volume import Volume
from metseg_trainer.cards import make_card
from metseg_trainer.datasets import Case, find_cases
from metseg_trainer.evaluation import (
    CaseResult,
    OperatingPoint,
    SeenCase,
    judge,
    parts_by_threshold,
    see_cases,
    smallest_voxels,
)
from metseg_trainer.failures import describe_failures
from metseg_trainer.measuring import Subject, measure, write_evaluation
from metseg_trainer.metrics.lesionwise import LesionResult, Lesionwise
from metseg_trainer.metrics.overlap import Overlap
from metseg_trainer.metrics.sizes import BY_DIAMETER
from metseg_trainer.networks.presets import build_network
from metseg_trainer.operating_point import THRESHOLDS, ChosenPoints, choose_points, try_points
from metseg_trainer.predictions import PredictionCache
from metseg_trainer.reports import read_report
from metseg_trainer.scoring import SetFindings, by_size, headline, score_set
from metseg_trainer.shipped_recipes import SHIPPED

CASE = Case("scan", "scan", Path("scan"), Path("scan"))


def _ball(shape: tuple[int, int, int], centre: tuple[float, float, float], radius: float) -> np.ndarray:
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return np.linalg.norm(grid - np.array(centre), axis=-1) <= radius


def _seen(truth: np.ndarray, probability: np.ndarray, spacing: float = 1.0, picture: bool = False) -> SeenCase:
    volume = Volume(truth.astype(np.uint16), np.diag([spacing, spacing, spacing, 1.0]))
    return SeenCase(CASE, volume, probability.astype(np.float32), picture, has_spacing=not picture)


def _result(name: str = "a", dice: float = 0.5, label: str | None = None, **changes: object) -> CaseResult:
    made = CaseResult(
        name, name, label, "mm", Overlap(dice, dice, dice, dice), 1.0, 1.0, Lesionwise((), 0), (), (), 0
    )
    return replace(made, **changes)


def _lesion(volume_mm3: float, found: bool) -> LesionResult:
    return LesionResult(volume_mm3, 0.8 * found, 1.0, found)


def _findings(results: list[CaseResult], *, volumes: bool = True) -> SetFindings:
    return SetFindings("set", results, [], {}, volumes)


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
    assert (result.lesionwise.found, result.lesionwise.false_lesions) == (1, 2)


def test_threshold_and_smallest_lesion_remove_false_ones(two_balls: tuple[np.ndarray, np.ndarray]) -> None:
    assert judge(_seen(*two_balls), OperatingPoint(0.7)).false_lesions == 1
    assert judge(_seen(*two_balls), OperatingPoint(0.7, min_lesion_mm3=2)).false_lesions == 0
    assert judge(_seen(*two_balls), OperatingPoint(0.95)).found == (False, False)


def test_counts_by_threshold_are_those_of_the_judged_case(two_balls: tuple[np.ndarray, np.ndarray]) -> None:
    seen = _seen(*two_balls, spacing=0.8)
    for threshold, smallest in ((0.5, 0.0), (0.7, 2.0), (0.95, 0.0)):
        point = OperatingPoint(threshold, smallest)
        result = judge(seen, point)
        counts = parts_by_threshold(seen, (0.3, threshold))[threshold].detect(smallest_voxels(seen, point))
        assert counts.dice == pytest.approx(result.dice)
        assert counts.found == result.lesionwise.found
        assert counts.false_lesions == result.lesionwise.false_lesions


def test_a_picture_is_measured_in_pixels_and_has_no_millimetres() -> None:
    truth = np.zeros((40, 30, 1), np.uint16)
    truth[5:15, 5:15] = 1
    shifted = np.roll(truth, 3, axis=0)
    result = judge(_seen(truth, 0.9 * shifted, spacing=7.0, picture=True), OperatingPoint())
    assert (result.unit, result.hd95, result.true_diameters_mm) == ("px", 3, ())
    missed = judge(_seen(truth, 0 * shifted, picture=True), OperatingPoint())
    assert missed.hd95 == missed.lesionwise.hd95 == pytest.approx(50, abs=0.02)


@pytest.mark.parametrize("empty", ["truth", "prediction", "both"])
def test_a_case_without_truth_or_prediction_has_finite_figures(
    two_balls: tuple[np.ndarray, np.ndarray], empty: str
) -> None:
    truth, probability = (
        array * (empty not in (name, "both"))
        for name, array in zip(("truth", "prediction"), two_balls, strict=True)
    )
    result = judge(_seen(truth, probability), OperatingPoint())
    assert result.dice == result.lesionwise.dice == (1 if empty == "both" else 0)
    assert result.hd95 == (0 if empty == "both" else 374)
    assert result.surface_dice == (1 if empty == "both" else 0)


def test_diameters_count_millimetres_and_not_voxels(two_balls: tuple[np.ndarray, np.ndarray]) -> None:
    single, double = (judge(_seen(*two_balls, spacing=s), OperatingPoint()).true_diameters_mm for s in (1.0, 2.0))
    assert double == pytest.approx([2 * diameter for diameter in single])


def test_planning_trades_false_lesions_for_found_ones(two_balls: tuple[np.ndarray, np.ndarray]) -> None:
    chosen = choose_points({"volumes": [try_points(_seen(*two_balls))]})
    result = judge(_seen(*two_balls), chosen.point)
    assert result.found[0]
    assert result.false_lesions == 0
    assert chosen.point.min_lesion_px == 0


def test_screening_finds_more_at_the_same_smallest_lesion_and_keeps_to_its_limit() -> None:
    truth = np.zeros((60, 40, 20), np.uint16)
    for number, x in enumerate((8, 24, 40), start=1):
        truth[_ball(truth.shape, (x, 10, 10), 4)] = number
    probability = 0.95 * (truth == 1) + 0.95 * (truth == 2) + 0.3 * (truth == 3)
    for x, y, value in ((8, 28, 0.3), (22, 28, 0.3), (36, 28, 0.15), (50, 28, 0.15)):
        probability[_ball(truth.shape, (x, y, 10), 4)] = value
    screening, planning = choose_points({"scans": [try_points(_seen(truth, probability))]}).measured
    assert (screening.name, planning.name) == ("screening", "planning")
    assert screening.threshold < planning.threshold
    assert (screening.sensitivity, screening.false_lesions_per_scan) == (1, 2)
    assert planning.sensitivity == pytest.approx(2 / 3, abs=1e-4)
    assert planning.false_lesions_per_scan == 0
    assert "scans" in screening.measured_on


def test_planning_keeps_to_the_same_limit_so_that_screening_never_finds_less() -> None:
    truth = np.zeros((100, 60, 20), np.uint16)
    for number in range(1, 7):
        truth[_ball(truth.shape, (15 * number - 5, 10, 10), 4)] = number
    probability = np.where(truth == 1, 0.95, 0.3 * (truth > 1))
    for x in (10, 25, 40):
        probability[_ball(truth.shape, (x, 40, 10), 4)] = 0.3
    screening, planning = choose_points({"scans": [try_points(_seen(truth, probability))]}).measured
    assert planning.false_lesions_per_scan == 0
    assert screening.sensitivity is not None
    assert planning.sensitivity is not None
    assert screening.sensitivity >= planning.sensitivity


def test_pictures_and_volumes_of_one_set_each_have_their_smallest_lesion(
    two_balls: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, probability = two_balls
    picture = try_points(_seen(truth[:, :, 10:11], probability[:, :, 10:11], picture=True))
    chosen = choose_points({"both": [picture, try_points(_seen(truth, probability))]})
    assert chosen.point.threshold in THRESHOLDS
    assert chosen.measured[0].scans == 1


def test_scores_name_their_command_and_classes() -> None:
    results = [_result(str(i), 0.4 + 0.2 * (i % 2), "ab"[i % 2]) for i in range(10)]
    scores = score_set(_findings(results, volumes=False), "do this")
    assert [(score.metric, score.value) for score in scores[:3]] == [
        ("mean Dice", 0.5),
        ("mean Dice, a", 0.4),
        ("mean Dice, b", 0.6),
    ]
    assert {score.command for score in scores} == {"do this"}
    assert [score.metric for score in scores if headline(score)][3] == "mean lesion-wise Dice"


def test_detection_is_pooled_over_lesions_and_f1_can_leave_out_small_ones() -> None:
    results = [
        _result("a", lesionwise=Lesionwise((_lesion(600, True), _lesion(30, False)), 1)),
        _result("b", lesionwise=Lesionwise((_lesion(600, False),), 0)),
        _result("c", lesionwise=Lesionwise((), 0)),
    ]
    scores = {score.metric: score for score in score_set(_findings(results), "x")}
    assert scores["lesion-wise sensitivity"].value == pytest.approx(1 / 3, abs=1e-4)
    assert scores["lesion-wise sensitivity"].cases == 2
    assert scores["lesion-wise precision"].value == 0.5
    assert scores["lesion-wise F1"].value == pytest.approx(2 / 5)
    assert scores["lesion-wise F1, lesions of 5 mm and more"].value == pytest.approx(2 / 4)
    assert scores["mean lesion-wise Dice"].value == pytest.approx((0.8 / 3 + 0 + 1) / 3, abs=1e-4)


def test_the_share_of_large_lesions_found_counts_them_as_the_data_set_numbers_them() -> None:
    results = [
        _result("a", true_diameters_mm=(20.0, 9.0, 3.0), found=(True, True, False)),
        _result("b", true_diameters_mm=(8.0,), found=(False,)),
    ]
    scores = {score.metric: score.value for score in score_set(_findings(results), "x")}
    assert scores["share of lesions of 8 mm and more that are found"] == pytest.approx(2 / 3, abs=1e-4)
    small = [replace(results[0], true_diameters_mm=(3.0,), found=(True,))]
    assert not any("8 mm" in score.metric for score in score_set(_findings(small), "x"))


def test_lesions_are_told_by_class_of_size() -> None:
    results = [_result(lesionwise=Lesionwise((_lesion(30, False), _lesion(30, True), _lesion(300, True)), 0))]
    rows = by_size(_findings(results), BY_DIAMETER)
    assert [(row.lesions, row.found) for row in rows] == [(2, 1), (0, 0), (1, 1), (0, 0)]
    assert rows[1].sensitivity is None
    assert by_size(_findings([replace(results[0], unit="px")]), BY_DIAMETER) == []


def test_failures_are_told_in_sentences() -> None:
    results = [
        _result(
            "a", 0.0, "glioma", lesionwise=Lesionwise((_lesion(30, False),), 2), found=(False,), false_lesions=2
        ),
        _result("b", 0.0, "glioma", lesionwise=Lesionwise((_lesion(600, False),), 0), found=(False,)),
        _result("c", 0.9, "meningioma"),
    ]
    told = describe_failures(_findings(results))
    assert told == [
        "set: 2 of 3 cases have a Dice below 0.2; in 1 of them nothing was marked.",
        "set: glioma is the weakest class (mean Dice 0.00; meningioma 0.90).",
        "set: 2 of 2 lesions were missed, of 7.2 mm in the median and 10.5 mm at most.",
        "set: 2 false lesions in 1 of 3 scans, at most 2 in one.",
    ]
    assert describe_failures(_findings([results[2]])) == []


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
    image = 50 * _ball(labels.shape, (30, 30, 6), 28) + 150 * (labels > 0)
    for ending, array in (("t1c", image.astype(np.int16)), ("mask", labels)):
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / f"a_{ending}.nii.gz")
    (seen,) = see_cases(find_cases(tmp_path), card, _bright_is_lesion(200))
    result = judge(seen, OperatingPoint())
    assert result.found == (True, True)
    assert result.false_lesions == 0
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
