"""A training run's state after an epoch: all that the next epoch depends on, in one file without pickles."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from metseg.errors import InputError

Row = dict[str, float]
"""One epoch in the log."""


@dataclass
class Progress:
    """How far a run has come; stored with its weights.

    Attributes:
        epoch: Epochs that are done.
        best: Best validation score of the current stage.
        rows: One for each epoch done.
    """

    epoch: int = 0
    best: float = -1.0
    rows: list[Row] = field(default_factory=list)


def state_of(model: keras.Model) -> list[np.ndarray[Any, Any]]:
    """Return the values of all variables that decide the next step: weights, random states and optimizer."""
    return [keras.ops.convert_to_numpy(variable.value) for variable in _variables(model)]


def restore_state(model: keras.Model, state: list[np.ndarray[Any, Any]], *, network_alone: bool = False) -> None:
    """Take over what `state_of` returned, from a model of the same network at any input size.

    Args:
        model: Compiled.
        state: All of it, in any case.
        network_alone: Leave the optimizer as it is.

    Raises:
        InputError: The state belongs to another network.
    """
    variables = _variables(model)
    if [tuple(variable.shape) for variable in variables] != [values.shape for values in state]:
        raise InputError(f"The checkpoint holds another network than {model.name} of this recipe.")
    wanted = len(variables) - (len(model.optimizer.variables) if network_alone else 0)
    for variable, values in zip(variables[:wanted], state[:wanted], strict=True):
        variable.assign(values)


def write_checkpoint(path: Path, state: list[np.ndarray[Any, Any]], progress: Progress) -> None:
    """Replace the checkpoint as a whole, so that a stop at any moment leaves the old or the new one."""
    unfinished = path.with_name(f".{path.name}")
    arrays: dict[str, Any] = {f"v{index}": values for index, values in enumerate(state)}
    arrays["about"] = np.frombuffer(json.dumps(asdict(progress)).encode(), dtype=np.uint8)
    with unfinished.open("wb") as file:
        np.savez(file, **arrays)
    unfinished.replace(path)


def read_checkpoint(path: Path) -> tuple[list[np.ndarray[Any, Any]], Progress]:
    """Read what `write_checkpoint` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        about = json.loads(stored["about"].tobytes())
        return [stored[f"v{index}"] for index in range(len(stored.files) - 1)], Progress(**about)


def _variables(model: keras.Model) -> list[Any]:
    metrics = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in metrics]
    return [*own, *model.optimizer.variables]
