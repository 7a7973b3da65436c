"""`metseg-api models`: promote a version, go back, see which versions there are, and have new models served."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metseg.models.library import ModelLibrary
from metseg.serving.admin import CANARY, STABLE, ServingControl, VersionState
from metseg.serving.client import ServingClient
from metseg_api.rollout.errors import RolloutError
from metseg_api.rollout.promotion import Rollout
from metseg_api.rollout.serving_config import Labels, add_models, entry_of, labels_of, read_config
from metseg_api.settings import ApiSettings


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the commands below `metseg-api models`."""
    commands = parser.add_subparsers(required=True)
    promote = commands.add_parser("promote", help="let jobs have a version")
    promote.add_argument("model", help="name of the model")
    promote.add_argument("version", type=int, help="a version with a card in the folder of the models")
    promote.add_argument(
        "--to",
        dest="label",
        choices=[STABLE, CANARY],
        default=STABLE,
        help=f"{STABLE}: all jobs (the default); {CANARY}: the share METSEG_CANARY_SHARE of them",
    )
    promote.set_defaults(run=_promote)
    rollback = commands.add_parser("rollback", help="take the last promotion back")
    rollback.add_argument("model", help="name of the model")
    rollback.set_defaults(run=_rollback)
    commands.add_parser("list", help="list versions, their states and labels").set_defaults(run=_list)
    add = commands.add_parser("add", help="have models served that are in the folder and not in its file yet")
    add.add_argument("file", type=Path, help="a models file that lists them")
    add.set_defaults(run=_add)


def _promote(settings: ApiSettings, given: argparse.Namespace) -> None:
    with _opened(settings) as rollout:
        step = rollout.promote(given.model, given.version, given.label)
    _tell(step.model, step.before, step.after)


def _rollback(settings: ApiSettings, given: argparse.Namespace) -> None:
    with _opened(settings) as rollout:
        step = rollout.rollback(given.model)
    _tell(step.model, step.after, step.before)


def _list(settings: ApiSettings, _given: argparse.Namespace) -> None:
    library, config = ModelLibrary(settings.models), read_config(settings.models)
    with ServingControl(settings.serving) as control:
        for name in library.names():
            labels = labels_of(entry_of(config, name))
            states = {one.version: one for one in control.versions(name)}
            for version in sorted({*states, *library.versions(name)}):
                has_card = version in library.versions(name)
                sys.stdout.write(f"{name:24}  {_row(version, states.get(version), labels, has_card)}\n")


def _add(settings: ApiSettings, given: argparse.Namespace) -> None:
    for name in add_models(settings.models, given.file):
        sys.stdout.write(f"{name} is served.\n")


def _row(version: int, state: VersionState | None, labels: Labels | None, has_card: bool) -> str:
    told = "not loaded" if state is None else state.state
    named = {labels.stable: STABLE, labels.canary: CANARY}.get(version, "") if labels is not None else ""
    notes = [named, "" if has_card else "no card", state.error if state is not None else ""]
    return f"{version:4}  {told:10}  {'  '.join(note for note in notes if note)}".rstrip()


@contextmanager
def _opened(settings: ApiSettings) -> Iterator[Rollout]:
    with ServingControl(settings.serving) as control, ServingClient(settings.serving) as client:
        yield Rollout(settings.models, control, client)


def _tell(model: str, before: Labels | None, after: Labels | None) -> None:
    if after is None:
        raise RolloutError(f"expected labels of {model}, and it has none")
    was = "" if before is None or before.stable == after.stable else f" (was {before.stable})"
    canary = "no canary" if after.canary is None else f"version {after.canary} is canary"
    sys.stdout.write(f"{model}: version {after.stable} is stable{was}, {canary}.\n")
    if before is not None:
        sys.stdout.write(f"Loaded beside it until the next move: {_others(before, after)}.\n")


def _others(before: Labels, after: Labels) -> str:
    versions = {before.stable, before.canary, after.canary} - {after.stable, None}
    return ", ".join(f"version {version}" for version in sorted(v for v in versions if v is not None)) or "none"
