import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metseg.schemas.model_card import CARD_PATH, ModelCard
from metseg_trainer.cli import build_parser, main
from metseg_trainer.networks.batch_norm_folding import count_gflop
from metseg_trainer.networks.presets import build_network
from metseg_trainer.recipes.shipped import RECIPES


@pytest.mark.parametrize("command", ["phantom", "fit", "evaluate", "export"])
def test_the_help_of_each_command_shows_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([command, "--help"])
    assert ended.value.code == 0
    assert f"metseg-train {command} " in capsys.readouterr().out.split("examples:")[1]


def test_help_needs_no_tensorflow() -> None:
    code = (
        "import sys; from metseg_trainer.cli import build_parser; build_parser().format_help(); "
        "sys.exit(bool({'keras', 'tensorflow'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.slow
def test_tensorflow_starts_in_silence() -> None:
    environ = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    code = "from metseg_trainer.keras_start import load_keras; load_keras()"
    started = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=120, capture_output=True, text=True, env=environ
    )
    if any(Path("/dev").glob("nvidia*")):
        pytest.skip("this host has a GPU, of which TensorFlow may tell")
    assert (started.stdout, started.stderr) == ("", "")


def test_a_mistake_ends_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--cases", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("metseg-train: ")
    assert told.count("\n") == 1


def test_an_unknown_recipe_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--recipe", "none"]) == 2
    assert "shipped" in capsys.readouterr().err


def test_the_recipes_are_listed_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    assert capsys.readouterr().out.splitlines() == list(RECIPES)


def test_the_recipe_asks_for_its_images(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("METSEG_DATA", raising=False)
    assert main(["fit", "--recipe", "shipped"]) == 2
    assert "METSEG_DATA" in capsys.readouterr().err


@pytest.mark.slow
def test_a_folder_of_slices_becomes_a_served_model(
    write_cases, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cases(tmp_path / "mine", count=6, side=256)
    (tmp_path / "runs").mkdir()
    assert main(["fit", "--cases", "mine", "--preset", "tiny", "--epochs", "1", "--run", "runs/mine"]) == 0
    assert main(["evaluate", "--run", "runs/mine", "--choose"]) == 0
    assert main(["export", "--run", "runs/mine", "--models", "models", "--version", "2"]) == 0
    card = ModelCard.read(tmp_path / "models" / "attention_unet" / "2" / CARD_PATH)
    assert card.training_data[0].cases == 5
    assert card.scores[0].dataset == "own"
    assert main(["export", "--all-shipped", "--models", "models"]) == 0
    assert "there already" in capsys.readouterr().out
    assert main(["evaluate", "--model", "models/attention_unet/2", "--cases", "mine", "--out", "again.json"]) == 0
    assert "mine: mean Dice" in capsys.readouterr().out


@pytest.mark.slow
def test_a_level_of_a_unet_plus_plus_is_measured_and_exported_with_its_own_cost_and_dice(
    write_cases, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cases(tmp_path / "mine", count=4, side=256)
    (tmp_path / "runs").mkdir()
    run = ["--run", "runs/nested"]
    nested = ["--network", "unet_plus_plus", "--preset", "narrow", "--epochs", "1", "--epoch-slices", "8"]
    assert main(["fit", "--cases", "mine", *nested, *run]) == 0
    assert main(["export", *run, "--level", "2", "--models", "models"]) == 2
    assert "report.json" in capsys.readouterr().err
    cards = []
    for level in (1, 3):
        assert main(["evaluate", *run, "--level", str(level)]) == 0
        assert main(["export", *run, "--level", str(level), "--models", "models", "--version", str(level)]) == 0
        cards.append(ModelCard.read(tmp_path / "models" / "unet_plus_plus" / str(level) / CARD_PATH))
        told = json.loads((tmp_path / "runs" / "nested" / f"l{level}" / "report.card.json").read_text())
        assert [score.model_dump() for score in cards[-1].scores] == told["scores"]
    assert [card.preset for card in cards] == ["narrow-l1", "narrow-l3"]
    for card in cards:
        network = build_network(card.network, card.preset)
        assert (card.parameters, card.gflop_per_slice) == (network.count_params(), round(count_gflop(network), 2))
        assert "mean Dice" in {score.metric for score in card.scores}
    costs = [card.gflop_per_slice for card in cards]
    assert costs == sorted(set(costs))
    assert main(["export", *run, "--level", "5", "--models", "models"]) == 2
    assert "heads 1 to 4" in capsys.readouterr().err
