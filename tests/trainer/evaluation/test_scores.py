from dataclasses import replace

import pytest

from metseg_trainer.evaluation.cases import CaseResult, NumberedLesions
from metseg_trainer.evaluation.failures import describe_failures
from metseg_trainer.evaluation.scores import SetFindings, by_size, headline, score_set
from metseg_trainer.metrics.lesionwise import LesionResult, Lesionwise
from metseg_trainer.metrics.overlap import Overlap
from metseg_trainer.metrics.sizes import BY_DIAMETER


def _result(name: str = "a", dice: float = 0.5, label: str | None = None, **changes: object) -> CaseResult:
    voxels, numbered = Overlap(dice, dice, dice, dice), NumberedLesions((), (), 0)
    made = CaseResult(name, name, label, "mm", voxels, 1.0, 1.0, Lesionwise((), 0), numbered)
    return replace(made, **changes)


def _lesion(volume_mm3: float, found: bool) -> LesionResult:
    return LesionResult(volume_mm3, 0.8 * found, 1.0, found)


def _findings(results: list[CaseResult], *, volumes: bool = True) -> SetFindings:
    return SetFindings("set", results, [], {}, volumes)


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
        _result("a", numbered=NumberedLesions((20.0, 9.0, 3.0), (True, True, False), 1)),
        _result("b", numbered=NumberedLesions((8.0,), (False,), 0)),
    ]
    scores = {score.metric: score.value for score in score_set(_findings(results), "x")}
    assert scores["share of lesions of 8 mm and more that are found"] == pytest.approx(2 / 3, abs=1e-4)
    small = [replace(results[0], numbered=NumberedLesions((3.0,), (True,), 0))]
    assert not any("8 mm" in score.metric for score in score_set(_findings(small), "x"))


def test_the_screening_point_has_its_own_share_of_large_lesions_and_false_ones() -> None:
    results = [_result(numbered=NumberedLesions((9.0, 9.0), (True, False), 0))]
    screened = [NumberedLesions((9.0, 9.0), (True, True), 2)]
    scores = score_set(replace(_findings(results), screened=screened), "x")
    told = {score.metric: score.value for score in scores if headline(score)}
    assert told["share of lesions of 8 mm and more that are found"] == 0.5
    assert told["share of lesions of 8 mm and more that are found, at the screening point"] == 1
    assert told["false lesions a scan, at the screening point"] == 2
    assert not [score for score in score_set(_findings(results), "x") if "screening" in score.metric]


def test_lesions_are_told_by_class_of_size() -> None:
    results = [_result(lesionwise=Lesionwise((_lesion(30, False), _lesion(30, True), _lesion(300, True)), 0))]
    rows = by_size(_findings(results), BY_DIAMETER)
    assert [(row.lesions, row.found) for row in rows] == [(2, 1), (0, 0), (1, 1), (0, 0)]
    assert rows[1].sensitivity is None
    assert by_size(_findings([replace(results[0], unit="px")]), BY_DIAMETER) == []


def test_failures_are_told_in_sentences() -> None:
    results = [
        _result(
            "a",
            0.0,
            "glioma",
            lesionwise=Lesionwise((_lesion(30, False),), 2),
            numbered=NumberedLesions((3.9,), (False,), 2),
        ),
        _result(
            "b",
            0.0,
            "glioma",
            lesionwise=Lesionwise((_lesion(600, False),), 0),
            numbered=NumberedLesions((10.5,), (False,), 0),
        ),
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


def test_enhancing_and_other_tumours_of_a_class_are_told_apart_where_it_has_both() -> None:
    results = [
        _result("a", 0.8, "glioma", enhances=True),
        _result("b", 0.2, "glioma", enhances=False),
        _result("c", 0.9, "meningioma", enhances=True),
    ]
    scores = {score.metric: score.value for score in score_set(_findings(results, volumes=False), "x")}
    assert scores["mean Dice, glioma"] == 0.5
    assert (scores["mean Dice, glioma, enhancing"], scores["mean Dice, glioma, not enhancing"]) == (0.8, 0.2)
    assert not any(name.startswith("mean Dice, meningioma,") for name in scores)
