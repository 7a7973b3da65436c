from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metseg_trainer.cli import main
from metseg_trainer.datasets import Target
from metseg_trainer.recipes.options import LossKind, OptimizerKind, Precision
from metseg_trainer.recipes.recipe import Recipe
from metseg_trainer.training import fit as training
from metseg_trainer.training.devices import Hardware
from metseg_trainer.training.progress import Progress
from metseg_trainer.training.run_folder import RunFolder
from metseg_trainer.training.run_record import RunRecord, write_record

Asked = Callable[..., tuple[Recipe, dict[str, Any]]]


@pytest.fixture
def asked(write_cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Return what `metseg-train fit` asks of the training, with five cases in `mine`, without training."""
    write_cases(tmp_path / "mine", count=5)
    monkeypatch.chdir(tmp_path)
    seen: list[tuple[Recipe, dict[str, Any]]] = []

    def note(recipe: Recipe, places: object, folder: RunFolder, **others: Any) -> Progress:
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.last.touch()
        seen.append((recipe, others))
        return Progress(end="all epochs are done")

    monkeypatch.setattr(training, "fit", note)

    def ask(*arguments: str) -> tuple[Recipe, dict[str, Any]]:
        assert main(["fit", *arguments]) == 0
        return seen[-1]

    return ask


def test_a_folder_alone_trains_an_attention_unet_and_keeps_a_fifth_of_the_patients(asked: Asked) -> None:
    recipe, others = asked("--cases", "mine")
    assert (recipe.network, recipe.preset, recipe.epochs) == ("attention_unet", "small", 60)
    assert (recipe.precision, recipe.patience, recipe.classes) == (Precision.AUTO, None, 1)
    assert len(recipe.sources[0].validation_patients) == 1
    assert others == {"resume": False, "hardware": Hardware()}


def test_every_choice_reaches_the_recipe(asked: Asked) -> None:
    recipe, others = asked(
        *"--cases mine --network unet_plus_plus --preset paper --epochs 6 --epoch-slices 80".split(),
        *"--loss focal_tversky --learning-rate 0.001 --batch 4 --patience 5 --average 0.8 --seed 3".split(),
        *"--precision float32 --devices 2 --deterministic --validation-share 0.4 --layout folder".split(),
    )
    assert (recipe.network, recipe.preset, recipe.epochs) == ("unet_plus_plus", "paper", 6)
    assert [stage.slices for stage in recipe.stages] == [80, 80]
    assert (recipe.loss, recipe.learning_rate, recipe.batch) == (LossKind.FOCAL_TVERSKY, 0.001, 4)
    assert (recipe.patience, recipe.average, recipe.seed) == (5, 0.8, 3)
    assert recipe.precision is Precision.FLOAT32
    assert len(recipe.sources[0].validation_patients) == 2
    assert others["hardware"] == Hardware(devices=2, deterministic=True)


def test_parts_kept_apart_make_a_softmax_with_the_background(asked: Asked) -> None:
    recipe, _ = asked("--cases", "mine", "--target", "classes")
    assert recipe.sources[0].target is Target.CLASSES
    assert recipe.classes == 4


def test_a_trained_encoder_makes_two_phases_and_the_plain_preset_learns_by_adam(
    asked: Asked, tmp_path: Path
) -> None:
    recipe, _ = asked(
        *"--cases mine --network inception_v3_segmenter --preset plain --encoder-weights e.h5".split()
    )
    assert recipe.encoder_weights == str(tmp_path / "e.h5")
    assert [stage.frozen_encoder for stage in recipe.stages] == [True, False]
    assert (recipe.optimizer, recipe.loss) == (OptimizerKind.ADAM, LossKind.CROSS_ENTROPY)
    assert asked("--cases", "mine", "--network", "inception_v3_segmenter")[0].preset == "skips"


def test_a_run_goes_on_by_its_folder_alone(asked: Asked, tmp_path: Path) -> None:
    recipe, _ = asked("--cases", "mine", "--epochs", "3")
    write_record(tmp_path / "runs" / "own" / "run.json", RunRecord(recipe))
    again, others = asked("--resume", "--run", "runs/own")
    assert again == recipe
    assert others["resume"]


def test_nothing_to_train_on_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit"]) == 2
    assert "--recipe or --cases" in capsys.readouterr().err
