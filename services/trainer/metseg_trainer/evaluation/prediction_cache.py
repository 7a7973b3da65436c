"""What a network made of a case, kept on the disk so that nothing is predicted twice.

Probabilities below `FLOOR` are no candidate at any threshold that may be chosen: they are kept as 0, all others as
they are.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from metseg_trainer.datasets import Case
from metseg_trainer.datasets.cases import files_of

FLOOR = 0.005


@dataclass(frozen=True, eq=False)
class Prediction:
    """A case's probability and what its file said.

    Attributes:
        probability: float32 on the grid of the image.
        is_picture: One slice of no known place.
        has_spacing: Whether lesions can be measured in mm.
    """

    probability: NDArray[np.float32]
    is_picture: bool
    has_spacing: bool


@dataclass(frozen=True)
class PredictionCache:
    """Predictions of one model.

    Attributes:
        folder: May be deleted at any time.
        model: Says which network and which preprocessing; another text, another prediction.
    """

    folder: Path
    model: str

    def load(self, case: Case) -> Prediction | None:
        """Take a prediction from the cache; None where it is missing, damaged or of another file."""
        try:
            with self._path(case).open("rb") as file, np.load(file, allow_pickle=False) as kept:
                flat = np.zeros(int(np.prod(kept["shape"])), np.float32)
                flat[kept["at"]] = kept["values"]
                is_picture, has_spacing = (bool(flag) for flag in kept["flags"])
                return Prediction(flat.reshape(kept["shape"]), is_picture, has_spacing)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None

    def save(self, case: Case, prediction: Prediction) -> None:
        """Keep a prediction; it is there whole or not at all."""
        path = self._path(case)
        path.parent.mkdir(parents=True, exist_ok=True)
        flat = prediction.probability.reshape(-1)
        at = np.flatnonzero(flat >= FLOOR)
        unfinished = path.with_suffix(f".{os.getpid()}.part.npz")
        np.savez(
            unfinished,
            shape=np.array(prediction.probability.shape),
            at=at.astype(np.uint32),
            values=flat[at],
            flags=np.array([prediction.is_picture, prediction.has_spacing]),
        )
        unfinished.replace(path)

    def _path(self, case: Case) -> Path:
        files = [(str(path.resolve()), path.stat()) for path in files_of(case.image)]
        about = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in files]
        digest = hashlib.sha256(json.dumps([self.model, case.channel, about]).encode()).hexdigest()
        return self.folder / f"{digest[:32]}.npz"
