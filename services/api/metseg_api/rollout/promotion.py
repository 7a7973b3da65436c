"""Moves the labels `stable` and `canary` of a model from version to version.

    card there? → load the version beside the others → AVAILABLE? → its signature? → move the label → drop what
    nobody needs

TF Serving refuses a label on a version that cannot answer, so a version is loaded first and labelled then. Its
file is written before each call, since a server that follows the file would undo the call otherwise.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from metseg.errors import MetsegError
from metseg.models.library import ModelLibrary
from metseg.serving.admin import CANARY, STABLE, ServingControl
from metseg.serving.client import ServingClient
from metseg.serving.proto.serving_wire_pb2 import ModelServerConfig
from metseg_api.rollout.errors import RolloutError
from metseg_api.rollout.serving_config import (
    History,
    Labels,
    Step,
    entry_of,
    labels_of,
    locked,
    read_config,
    set_labels,
    write_config,
)

LOAD_LIMIT_S: Final = 300.0
"""How long a version may take to be loaded and warmed up."""
LOOK_S: Final = 0.25


@dataclass(frozen=True)
class Rollout:
    """The models of one folder, and the TF Serving that serves them.

    Args:
        folder: The folder of the models, with TF Serving's file in it; it is written.
        control: The connection to that server.
        client: Another one, which asks a version for its signature.
        load_limit_s: How long a version may take to be AVAILABLE.
    """

    folder: Path
    control: ServingControl
    client: ServingClient
    load_limit_s: float = LOAD_LIMIT_S

    def promote(self, model: str, version: int, label: str = STABLE) -> Step:
        """Give a version a label; a `canary` that becomes `stable` is no canary any more.

        Raises:
            UnknownModelError: There is no such version, or it has no card.
            CardError: Its card is damaged.
            RolloutError: It cannot be loaded, has the label already, or is `stable` and cannot be a canary.
            ServingContractError: It takes or gives something else than metseg's models do.
            ServingError: TF Serving refuses, or does not answer.
        """
        ModelLibrary(self.folder).card(model, version)
        with locked(self.folder):
            config = read_config(self.folder)
            before = labels_of(entry_of(config, model)) or self._unlabelled(model, version)
            after = _promoted(model, before, version, label)
            step = Step(model=model, at=datetime.now(UTC), before=before, after=after)
            self._move(config, model, step)
            history = History.read(self.folder)
            history.model_copy(update={"steps": [*history.steps, step]}).write(self.folder)
        return step

    def rollback(self, model: str) -> Step:
        """Take the last move of a model's labels back; that move.

        Raises:
            RolloutError: There is none, it began with nothing, or the labels were moved by other hands since.
            ServingError: TF Serving refuses, or does not answer.
        """
        with locked(self.folder):
            config, history = read_config(self.folder), History.read(self.folder)
            step = history.last(model)
            if step is None or step.before is None:
                raise RolloutError(f"expected an earlier version of {model} to go back to, and there is none")
            if labels_of(entry_of(config, model)) != step.after:
                raise RolloutError(
                    f"expected the labels of {model} as the last promotion left them; promote instead"
                )
            now = datetime.now(UTC)
            self._move(config, model, Step(model=model, at=now, before=step.after, after=step.before))
            undone = step.model_copy(update={"undone_at": now})
            steps = [undone if one is step else one for one in history.steps]
            history.model_copy(update={"steps": steps}).write(self.folder)
        return undone

    def _unlabelled(self, model: str, version: int) -> Labels | None:
        """What a model without labels can go back to: the newest other version that answers."""
        others = [
            one.version for one in self.control.versions(model) if one.is_available and one.version != version
        ]
        return Labels(stable=max(others)) if others else None

    def _move(self, config: ModelServerConfig, model: str, step: Step) -> None:
        """Load what is needed, then move the labels; what goes wrong leaves everything as it was."""
        original = ModelServerConfig()
        original.CopyFrom(read_config(self.folder))
        entry = entry_of(config, model)
        wanted = _versions(step.after)
        loaded = {one.version for one in self.control.versions(model) if one.is_available}
        try:
            if not wanted <= loaded:
                set_labels(entry, labels_of(entry), loaded | wanted)
                self._apply(config)
                self._wait(model, wanted)
            for version in wanted - _versions(step.before):
                self.client.check_signature(model, version)
            set_labels(entry, step.after, wanted | _versions(step.before))
            self._apply(config)
        except MetsegError:
            self._apply(original)
            raise

    def _apply(self, config: ModelServerConfig) -> None:
        write_config(self.folder, config)
        self.control.reload(config)

    def _wait(self, model: str, wanted: set[int]) -> None:
        deadline = time.monotonic() + self.load_limit_s
        while True:
            states = {one.version: one for one in self.control.versions(model)}
            if all(number in states and states[number].is_available for number in wanted):
                return
            for number in wanted & states.keys():
                if states[number].state == "END":
                    raise RolloutError(f"version {number} of {model} cannot be loaded: {states[number].error}")
            if time.monotonic() > deadline:
                raise RolloutError(
                    f"expected {model} to be AVAILABLE in versions {sorted(wanted)} within {self.load_limit_s:g} s"
                )
            time.sleep(LOOK_S)


def _promoted(model: str, before: Labels | None, version: int, label: str) -> Labels:
    if label == CANARY:
        if before is None:
            raise RolloutError(f"expected a stable version of {model} beside the canary, and no other is loaded")
        if version in (before.stable, before.canary):
            name = STABLE if version == before.stable else CANARY
            raise RolloutError(f"version {version} of {model} is {name} already")
        return Labels(stable=before.stable, canary=version)
    if before is not None and before.stable == version:
        raise RolloutError(f"version {version} of {model} is {STABLE} already")
    canary = before.canary if before is not None and before.canary != version else None
    return Labels(stable=version, canary=canary)


def _versions(labels: Labels | None) -> set[int]:
    return set() if labels is None else {labels.stable} | ({labels.canary} if labels.canary else set())
