"""Where a training run leaves what it made."""

from dataclasses import dataclass
from pathlib import Path

from metseg.errors import InputError
from metseg_trainer.recipes.recipe import Recipe
from metseg_trainer.training.run_record import read_record


@dataclass(frozen=True)
class RunFolder:
    """The names inside a run's folder.

        run.json          everything that made the run, and how it ended; see `metseg_trainer.training.run_record`
        log.csv           one line an epoch
        curves.png        the same as a picture
        tensorboard/      the same for TensorBoard, where the backend is TensorFlow
        hard_negatives.json  what was mined at the beginning of a stage
        checkpoint.npz    everything the next epoch needs, replaced as a whole
        best.weights.h5   the weights with the best validation score of the last stage
        last.weights.h5   the weights after the last epoch
        report.json       what `metseg-train evaluate` found

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def about(self) -> Path:
        """Recipe, software and end of the run."""
        return self.path / "run.json"

    @property
    def log(self) -> Path:
        """One line an epoch."""
        return self.path / "log.csv"

    @property
    def curves(self) -> Path:
        """The log as a picture."""
        return self.path / "curves.png"

    @property
    def events(self) -> Path:
        """The log for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def hard_negatives(self) -> Path:
        """Slices that were mined when a stage began."""
        return self.path / "hard_negatives.json"

    @property
    def checkpoint(self) -> Path:
        """State after the last epoch that is done."""
        return self.path / "checkpoint.npz"

    @property
    def best(self) -> Path:
        """Weights with the best validation score of the stage that was run last."""
        return self.path / "best.weights.h5"

    @property
    def last(self) -> Path:
        """Weights after the last epoch."""
        return self.path / "last.weights.h5"

    @property
    def report(self) -> Path:
        """What the evaluation found."""
        return self.path / "report.json"

    @property
    def weights(self) -> Path:
        """The weights to use: the best ones, or the last where nothing was validated.

        Raises:
            InputError: The run has not come that far.
        """
        for path in (self.best, self.last):
            if path.is_file():
                return path
        raise InputError(f"{self.path} holds no weights; has this run reached a validation?")

    def read_recipe(self) -> Recipe:
        """Read the recipe of the run.

        Raises:
            InputError: The folder holds no run.
        """
        return read_record(self.about).recipe
