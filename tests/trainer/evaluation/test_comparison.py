import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import phantoms
import pytest

from metseg.inference.segment import Predict
from metseg.schemas.model_card import ModelCard, Preprocessing
from metseg_trainer.cli import main
from metseg_trainer.datasets import Case, find_cases
from metseg_trainer.evaluation.comparison import (
    ENSEMBLE,
    Comparison,
    Entrant,
    compare,
    comparison_document,
    flipped,
)
from metseg_trainer.evaluation.evaluate import Subject
from metseg_trainer.reporting.comparison_html import render_comparison, table_lines


@pytest.fixture
def card() -> ModelCard:
    return phantoms.card(preprocessing=Preprocessing(size=64))


@pytest.fixture
def cases(write_cases, tmp_path: Path) -> list[Case]:
    return find_cases(write_cases(tmp_path / "set", count=6))


def _brighter_than(level: int, value: float = 1.0) -> Predict:
    def predict(batches):
        for batch in batches:
            yield value * (batch[..., 1:2] > level).astype(np.float32)

    return predict


def _left_half(batches):
    """See lesions only where the first axis begins: blind for the other side of the head."""
    for (answer,) in zip(_brighter_than(200)(batches), strict=True):
        blind = answer.copy()
        blind[:, answer.shape[1] // 2 :] = 0
        yield blind


@pytest.fixture
def comparison(card: ModelCard, cases: list[Case]) -> Comparison:
    good = Entrant("good", Subject(card, _brighter_than(200)))
    poor = Entrant("poor", Subject(card, _brighter_than(60)))
    return compare([poor, good], {"own": cases})


def test_the_model_with_the_best_mean_dice_is_the_default(comparison: Comparison) -> None:
    assert comparison.best.name == "good"
    assert comparison.verdict().startswith("Default: good")
    assert "chance" not in comparison.verdict()


def test_differences_are_paired_case_by_case(comparison: Comparison) -> None:
    poor, good, _ = comparison.rows
    behind = comparison.difference(poor)
    assert behind.value == pytest.approx(np.mean(good.dice) - np.mean(poor.dice))
    assert 0 < behind.low <= behind.value <= behind.high
    assert comparison.difference(good).value == 0


def test_a_lead_that_may_be_chance_is_told(card: ModelCard, cases: list[Case]) -> None:
    same = Entrant("same", Subject(card, _brighter_than(200)))
    verdict = compare([same, replace(same, name="again")], {"own": cases}).verdict()
    assert "may be chance" in verdict


def test_the_ensemble_is_the_mean_of_probabilities_and_never_the_default(
    card: ModelCard, cases: list[Case]
) -> None:
    sure, unsure = (Subject(card, _brighter_than(200, value)) for value in (0.9, 0.2))
    rows = {row.name: row for row in compare([Entrant("a", sure), Entrant("b", unsure)], {"own": cases}).rows}
    assert max(rows["b"].dice) == 0
    assert rows[ENSEMBLE].dice == rows["a"].dice
    assert not rows[ENSEMBLE].servable


def test_flips_show_the_network_the_other_side(card: ModelCard, cases: list[Case]) -> None:
    half = Entrant("half", Subject(card.model_copy(update={"threshold": 0.4}), _left_half))
    plain, mirrored = compare([half, flipped(half)], {"own": cases}).rows
    assert mirrored.name == "half + flips"
    assert not mirrored.servable
    assert min(plain.dice) < 0.6
    assert min(mirrored.dice) > 0.9


def test_flips_let_the_surer_side_prevail(card: ModelCard, cases: list[Case]) -> None:
    def predict(batches):
        for (answer,) in zip(_brighter_than(200, 0.9)(batches), strict=True):
            doubting = answer.copy()
            doubting[:, answer.shape[1] // 2 :] *= 0.2 / 0.9
            yield doubting

    doubter = Entrant("doubter", Subject(card.model_copy(update={"threshold": 0.58}), predict))
    _, pooled = compare([doubter, flipped(doubter)], {"own": cases}).rows
    assert min(pooled.dice) > 0.9, "0.9 and 0.2 are 0.6 by their logits and 0.55 in the mean"


def test_a_comparison_wants_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare"]) == 2
    assert "--models or --runs" in capsys.readouterr().err


def test_one_model_alone_is_the_default(card: ModelCard, cases: list[Case]) -> None:
    alone = compare([Entrant("alone", Subject(card, _brighter_than(200)))], {"own": cases})
    assert [row.name for row in alone.rows] == ["alone"]
    assert "no other" in alone.verdict()


def test_document_page_and_table_name_the_default(comparison: Comparison) -> None:
    document = json.loads(json.dumps(comparison_document(comparison, "do this"), allow_nan=False))
    assert document["default_model"] == "good"
    assert len(document["rows"][0]["cases"]["own"]) == 6
    page = render_comparison(comparison, "do <this>")
    assert "For research use only" in page
    assert "do &lt;this&gt;" in page
    lines = table_lines(comparison)
    assert len(lines) == 4
    assert lines[2].startswith("good")
