"""The two files of a rollout, in the folder of the models: what TF Serving serves, and how it came to that."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, Self

from google.protobuf import text_format
from pydantic import AwareDatetime, Field, ValidationError

from metseg.models.library import ModelLibrary
from metseg.schemas.job import Schema
from metseg.serving.admin import CANARY, STABLE
from metseg.serving.proto.serving_wire_pb2 import ModelConfig, ModelServerConfig
from metseg_api.rollout.errors import RolloutError

CONFIG_FILE: Final = "models.config"
HISTORY_FILE: Final = "rollout.json"
LOCK_FILE: Final = ".rollout.lock"
CONTAINER_MODELS: Final = "/models"
"""Where TF Serving finds the folder of the models; metseg-serving takes its own in that place."""

_HEADER: Final = "# What TF Serving serves (ModelServerConfig), as `metseg-api models` left it.\n"


class Labels(Schema):
    """Which version has which label."""

    stable: int = Field(ge=1)
    canary: int | None = Field(default=None, ge=1)


class Step(Schema):
    """One move of the labels of a model; `before` is None where there was nothing to go back to."""

    model: str
    at: AwareDatetime
    before: Labels | None
    after: Labels
    undone_at: AwareDatetime | None = None


class History(Schema):
    """`rollout.json`: every move that was made, oldest first."""

    schema_version: Literal[1] = 1
    steps: list[Step] = []

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The history of the models in a folder; empty where no label was ever moved.

        Raises:
            RolloutError: The file is damaged.
        """
        file = folder / HISTORY_FILE
        if not file.exists():
            return cls()
        try:
            return cls.model_validate_json(file.read_bytes())
        except ValidationError as exc:
            raise RolloutError(f"expected the history of rollouts in {HISTORY_FILE}, and it is damaged") from exc

    def write(self, folder: Path) -> None:
        """Replace the file in one go."""
        _replace(folder / HISTORY_FILE, self.model_dump_json(indent=2) + "\n")

    def last(self, model: str) -> Step | None:
        """The newest move of a model that was not taken back."""
        return next((step for step in reversed(self.steps) if step.model == model and not step.undone_at), None)


def read_config(folder: Path) -> ModelServerConfig:
    """What TF Serving serves by its file.

    Raises:
        RolloutError: The file is missing, or holds what is not known here.
    """
    return _parse(folder / CONFIG_FILE)


def add_models(folder: Path, offered: Path) -> list[str]:
    """Let TF Serving serve what another file lists, where that lies in the folder and is not in its own file yet.

    Args:
        folder: The folder of the models; its file is made where there is none, and else keeps what it has.
        offered: A file like it.

    Returns:
        Names of the models that were added.

    Raises:
        RolloutError: A file is damaged, none of the models is there, or another rollout is under way.
    """
    library, wanted = ModelLibrary(folder), _parse(offered).model_config_list.config
    with locked(folder):
        config = read_config(folder) if (folder / CONFIG_FILE).exists() else ModelServerConfig()
        known = {entry.name for entry in config.model_config_list.config}
        added = [entry for entry in wanted if entry.name not in known and library.versions(entry.name)]
        if not known and not added:
            raise RolloutError(f"expected one of the models of {offered.name} in the folder, and none is there")
        if added:
            config.model_config_list.config.extend(added)
            write_config(folder, config)
    return [entry.name for entry in added]


def current_labels(folder: Path, model: str) -> Labels | None:
    """The labels of a model as the file has them; None where the model has none, or there is no file.

    Raises:
        RolloutError: The file is damaged.
    """
    if not (folder / CONFIG_FILE).exists():
        return None
    return labels_of(entry_of(read_config(folder), model))


def write_config(folder: Path, config: ModelServerConfig) -> None:
    """Replace the file in one go; comments are lost."""
    _replace(folder / CONFIG_FILE, _HEADER + text_format.MessageToString(config))


def entry_of(config: ModelServerConfig, model: str) -> ModelConfig:
    """The part about a model, which is added where there is none."""
    entries = config.model_config_list.config
    found = next((entry for entry in entries if entry.name == model), None)
    if found is None:
        found = entries.add(name=model, base_path=f"{CONTAINER_MODELS}/{model}", model_platform="tensorflow")
    return found


def labels_of(entry: ModelConfig) -> Labels | None:
    """The labels of a model; None where no version is `stable`."""
    labels = entry.version_labels
    return Labels(stable=labels[STABLE], canary=labels[CANARY] or None) if STABLE in labels else None


def set_labels(entry: ModelConfig, labels: Labels | None, versions: set[int]) -> None:
    """Let a model have these labels, and these versions loaded."""
    del entry.model_version_policy.specific.versions[:]
    entry.model_version_policy.specific.versions.extend(sorted(versions))
    entry.version_labels.clear()
    if labels is not None:
        entry.version_labels[STABLE] = labels.stable
        if labels.canary is not None:
            entry.version_labels[CANARY] = labels.canary


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only one who moves labels.

    Raises:
        RolloutError: Somebody else is, or the folder cannot be written.
    """
    try:
        file = (folder / LOCK_FILE).open("w")
    except OSError as exc:
        raise RolloutError(f"expected a folder of models that can be written: {exc.strerror}") from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise RolloutError("expected to be alone, and another rollout is under way") from exc
        yield


def _parse(file: Path) -> ModelServerConfig:
    try:
        return text_format.Parse(file.read_text(encoding="utf-8"), ModelServerConfig())
    except OSError as exc:
        raise RolloutError(f"expected TF Serving's {file.name}, and it cannot be read: {exc.strerror}") from exc
    except (UnicodeDecodeError, text_format.ParseError) as exc:
        raise RolloutError(f"expected a ModelServerConfig in {file.name}: {exc}") from exc


def _replace(file: Path, text: str) -> None:
    fresh = file.with_name(f".{file.name}.tmp")
    with fresh.open("w", encoding="utf-8") as written:
        written.write(text)
        written.flush()
        os.fsync(written.fileno())
    fresh.replace(file)
