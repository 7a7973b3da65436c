"""The record of a training run, `run.json`: everything that made it."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from metseg.errors import InputError
from metseg_trainer.recipes.options import Precision
from metseg_trainer.recipes.recipe import Recipe, Source
from metseg_trainer.software_versions import software_versions
from metseg_trainer.training.progress import Progress
from metseg_trainer.training_data.manifest import manifest_digest
from metseg_trainer.training_data.sources import Paths, parts_of

if TYPE_CHECKING:
    from metseg_trainer.training.devices import Hardware


@dataclass(frozen=True)
class SourceRecord:
    """Which images of a source a run uses.

    Attributes:
        train: Number of its training cases.
        validation: Number of its validation cases.
        split_sha256: Of the names and patients of both lists.
        manifest_sha256: Of the manifest, with every image and mask.
    """

    train: int
    validation: int
    split_sha256: str
    manifest_sha256: str


@dataclass(frozen=True)
class Start:
    """One start of a run; a resumed run has several.

    Attributes:
        at: RFC 3339, UTC.
        from_epoch: Epochs that were done by then.
        command: The command line.
        backend: Of Keras.
        devices: What the steps are computed on.
        cpu: Model name of the processor.
        deterministic: Whether a GPU was held to equal bits.
        software: Versions.
        commit: Of the source code, with `+` where files had changed since; None outside of a git work tree.
    """

    at: str
    from_epoch: int
    command: tuple[str, ...]
    backend: str
    devices: tuple[str, ...]
    cpu: str
    deterministic: bool
    software: dict[str, str]
    commit: str | None


@dataclass(frozen=True)
class RunRecord:
    """What `run.json` holds.

    Attributes:
        recipe: All choices, the seed among them.
        precision: What `auto` came to when the run began; a resumed run keeps it.
        data: By name of the source.
        encoder_sha256: Of the file that the encoder's weights came from.
        starts: In order.
        epochs_done: Of the recipe's; those that early stopping left out count too.
        best_validation_dice: Of the last stage; None before its first validation.
        best_epoch: The epoch that had it.
        end: How the run ended; None as long as it goes on.
        epoch_seconds: Time of each epoch that was run.
    """

    recipe: Recipe
    precision: Precision = Precision.AUTO
    data: dict[str, SourceRecord] = field(default_factory=dict)
    encoder_sha256: str | None = None
    starts: tuple[Start, ...] = ()
    epochs_done: int | None = None
    best_validation_dice: float | None = None
    best_epoch: int | None = None
    end: str | None = None
    epoch_seconds: tuple[float, ...] = ()


_RECORD = TypeAdapter(RunRecord)
_RECIPE = TypeAdapter(Recipe)


def read_record(path: Path) -> RunRecord:
    """Read a run's record.

    Raises:
        InputError: There is none.
    """
    try:
        return _RECORD.validate_json(path.read_bytes())
    except (OSError, ValidationError) as exc:
        raise InputError(f"{path.parent} holds no training run.") from exc


def write_record(path: Path, record: RunRecord) -> None:
    """Replace a run's record as a whole."""
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(json.dumps(_RECORD.dump_python(record, mode="json"), indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)


def describe_progress(progress: Progress, *, over: bool) -> dict[str, Any]:
    """Return those fields of a record that change from epoch to epoch."""
    return {
        "epochs_done": progress.epoch,
        "best_validation_dice": progress.best if progress.best_epoch else None,
        "best_epoch": progress.best_epoch or None,
        "end": progress.end if over else None,
        "epoch_seconds": tuple(row["seconds"] for row in progress.rows),
    }


def describe_start(hardware: "Hardware", from_epoch: int) -> Start:
    """Describe this process and its machine."""
    import keras  # slow to import, and those who read records do without it

    from metseg_trainer.training.devices import cpu_name, device_names

    return Start(
        at=datetime.now(UTC).replace(microsecond=0).isoformat(),
        from_epoch=from_epoch,
        command=tuple(sys.argv),
        backend=str(keras.backend.backend()),
        devices=tuple(device_names(hardware)),
        cpu=cpu_name(),
        deterministic=hardware.deterministic,
        software=software_versions(),
        commit=_source_commit(),
    )


def describe_data(recipe: Recipe, places: Paths) -> dict[str, SourceRecord]:
    """Describe the cases of each source of a recipe."""
    return {source.name: _describe_source(source, places) for source in recipe.sources}


def expect_same_run(before: RunRecord, recipe: Recipe, data: Mapping[str, SourceRecord]) -> None:
    """See to it that a resumed run goes on with what it began with.

    Raises:
        InputError: The recipe or an image has changed.
    """
    old, new = (_RECIPE.dump_python(one, mode="json") for one in (before.recipe, recipe))
    changed = [one.name for one in fields(Recipe) if old[one.name] != new[one.name]]
    if changed:
        raise InputError(f"The run was begun with another recipe; it differs in: {', '.join(changed)}.")
    moved = [name for name, record in data.items() if before.data.get(name) != record]
    if moved:
        raise InputError(f"The images of {', '.join(moved)} are not those that the run was begun with.")


def _describe_source(source: Source, places: Paths) -> SourceRecord:
    parts = parts_of(source, places)
    listed = {part: [[case.name, case.patient] for case in cases] for part, cases in parts.items()}
    digest = hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()
    return SourceRecord(len(parts["train"]), len(parts["validation"]), digest, manifest_digest(source, places))


def _source_commit() -> str | None:
    here = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*here, "rev-parse", "HEAD"], capture_output=True, check=True, timeout=20)
        state = subprocess.run(
            [*here, "status", "--porcelain", "--untracked-files=no", "."],
            capture_output=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.decode().strip() + ("+" if state.stdout.strip() else "")
