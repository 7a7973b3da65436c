"""How far a training run has come."""

from dataclasses import dataclass, field

Row = dict[str, float]
"""One epoch in the log."""


@dataclass
class Progress:
    """How far a run has come; stored with its weights.

    Attributes:
        epoch: The recipe's epochs that are behind; those that early stopping left out count too.
        best: Best validation score of the current stage.
        best_epoch: The epoch that had it.
        waited: Validations since then.
        end: How the last stage that is over ended.
        rows: One for each epoch run.
    """

    epoch: int = 0
    best: float = -1.0
    best_epoch: int = 0
    waited: int = 0
    end: str | None = None
    rows: list[Row] = field(default_factory=list)

    def begin_stage(self) -> None:
        """Forget scores: at another resolution they tell nothing."""
        self.best, self.best_epoch, self.waited = -1.0, 0, 0

    def note_score(self, score: float) -> bool:
        """Take down the score of the current epoch, and say whether it is the best of its stage."""
        if score > self.best:
            self.best, self.best_epoch, self.waited = score, self.epoch, 0
            return True
        self.waited += 1
        return False
