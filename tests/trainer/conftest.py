"""Small data sets that look like the real ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metseg.imaging.picture import write_picture
from metseg.schemas.model_card import Preprocessing
from metseg_trainer.batches.augmentation import Augmentation, Frame
from metseg_trainer.batches.shares import Share
from metseg_trainer.recipes.options import Precision
from metseg_trainer.recipes.recipe import Recipe, Source, Stage
from metseg_trainer.training_data.sources import Paths

KERAS_NUMPY_WARNING = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning:keras"
"""Keras asks a variable for its array in a way that NumPy 2 finds old-fashioned."""

WriteCases = Callable[..., Path]


@pytest.fixture(scope="session")
def write_cases() -> WriteCases:
    """Write a folder of round heads with one bright ball each, as images/ and masks/."""

    def write(folder: Path, count: int = 4, side: int = 64) -> Path:
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True)
        x, y = np.meshgrid(*[np.arange(side)] * 2, indexing="ij")
        rng = np.random.default_rng(3)
        for number in range(count):
            head = (x - side / 2) ** 2 + (y - side / 2) ** 2 < (0.45 * side) ** 2
            at = side / 2 + rng.uniform(-0.2, 0.2, 2) * side
            ball = (x - at[0]) ** 2 + (y - at[1]) ** 2 < (0.1 * side) ** 2
            image = (head * 90 + ball * 140 + rng.integers(0, 10, head.shape)).astype(np.uint8)
            write_picture(folder / "images" / f"case_{number:02d}.png", image)
            write_picture(folder / "masks" / f"case_{number:02d}.png", (ball * 255).astype(np.uint8))
        return folder

    return write


def pytest_configure(config: pytest.Config) -> None:
    """Forgive Keras one warning; all others stay errors."""
    config.addinivalue_line("filterwarnings", KERAS_NUMPY_WARNING)


@pytest.fixture
def tiny_recipe(write_cases: WriteCases, tmp_path: Path) -> tuple[Recipe, Paths]:
    """A recipe of three short epochs on four slices, and the places of its data."""
    write_cases(tmp_path / "data" / "own")
    share = {"own": Share(slices=8)}
    recipe = Recipe(
        name="tiny",
        network="attention_unet",
        preset="tiny",
        sources=(Source("own", "own", validation_patients=("case_03",), validation=Share(slices=1)),),
        stages=(
            Stage(1, Frame((32, 32), scale=0.5), share),
            Stage(2, Frame((64, 64)), share),
        ),
        augmentation=Augmentation(rotation_degrees=10.0, noise=0.02),
        preprocessing=Preprocessing(size=64),
        batch=4,
        precision=Precision.FLOAT32,
        validate_every=1,
    )
    places = Paths(tmp_path / "data", tmp_path / "phantoms", tmp_path / "splits", tmp_path / "cache")
    return recipe, places
