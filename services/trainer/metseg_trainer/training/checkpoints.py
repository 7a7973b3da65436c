"""A training run's state after an epoch: all that the next epoch depends on, in one file without pickles."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from metseg.errors import InputError
from metseg_trainer.training.progress import Progress

Array = np.ndarray[Any, Any]


@dataclass
class State:
    """Values of everything that decides the next step.

    Attributes:
        network: Weights and random states of the network.
        optimizer: Variables of the optimizer, with its place in the schedule.
        average: The running mean of the weights; empty where none is kept.
    """

    network: list[Array] = field(default_factory=list)
    optimizer: list[Array] = field(default_factory=list)
    average: list[Array] = field(default_factory=list)


def state_of(model: keras.Model, average: Sequence[Array] = ()) -> State:
    """Read off the state of a compiled model."""
    return State(_values(_network_variables(model)), _values(model.optimizer.variables), list(average))


def restore_state(model: keras.Model, state: State, *, network_alone: bool = False) -> None:
    """Take over what `state_of` returned, from a model of the same network at any input size.

    Args:
        model: Compiled.
        state: All of it, in any case.
        network_alone: Leave the optimizer as it is.

    Raises:
        InputError: The state belongs to another network, or its optimizer to another one.
    """
    _assign(_network_variables(model), state.network, f"another network than {model.name}")
    if not network_alone:
        _assign(model.optimizer.variables, state.optimizer, "another optimizer or precision than the one")


def write_checkpoint(path: Path, state: State, progress: Progress) -> None:
    """Replace the checkpoint as a whole, so that a stop at any moment leaves the old or the new one."""
    unfinished = path.with_name(f".{path.name}")
    arrays: dict[str, Any] = {
        f"{kind}{index}": values for kind, many in vars(state).items() for index, values in enumerate(many)
    }
    arrays["about"] = np.frombuffer(json.dumps(asdict(progress)).encode(), dtype=np.uint8)
    with unfinished.open("wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def read_checkpoint(path: Path) -> tuple[State, Progress]:
    """Read what `write_checkpoint` wrote.

    Raises:
        InputError: The file is no checkpoint.
    """
    state = State()
    try:
        with np.load(path, allow_pickle=False) as stored:
            progress = Progress(**json.loads(stored["about"].tobytes()))
            for kind, values in vars(state).items():
                count = sum(name.startswith(kind) for name in stored.files)
                values += [stored[f"{kind}{index}"] for index in range(count)]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(f"{path} is no checkpoint of this version of the trainer.") from exc
    return state, progress


def _network_variables(model: keras.Model) -> list[Any]:
    metrics = {id(variable) for variable in model.metrics_variables}
    return [variable for variable in model.variables if id(variable) not in metrics]


def _values(variables: Sequence[Any]) -> list[Array]:
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]


def _assign(variables: Sequence[Any], values: Sequence[Array], what: str) -> None:
    if [tuple(variable.shape) for variable in variables] != [one.shape for one in values]:
        raise InputError(f"The checkpoint holds {what} of this recipe.")
    for variable, one in zip(variables, values, strict=True):
        variable.assign(one)
