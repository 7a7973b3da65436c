"""Promotion and rollback against metseg-serving, which answers as TF Serving does."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from api_service import write_cards
from standin import Standin, save_model

from metseg.errors import CardError, ServingContractError, UnknownModelError
from metseg.models.library import ModelLibrary
from metseg.serving.admin import CANARY, STABLE, ServingControl
from metseg.serving.client import ServingClient
from metseg.serving.proto.serving_wire_pb2 import ModelServerConfig
from metseg_api.__main__ import main
from metseg_api.rollout.errors import RolloutError
from metseg_api.rollout.promotion import Rollout
from metseg_api.rollout.serving_config import (
    HISTORY_FILE,
    History,
    Labels,
    entry_of,
    locked,
    read_config,
    set_labels,
    write_config,
)

pytestmark = pytest.mark.slow

VERSIONS = {"forth": 3, "broken": 2, "foreign": 1, "cards": 3, "hands": 2, "single": 1, "console": 2}
BROKEN = 3
FLAGS = (
    "--allow_version_labels_for_unavailable_models",
    "--file_system_poll_wait_seconds=0.1",
    "--max_num_load_retries=0",
)


@dataclass(frozen=True)
class Place:
    """A folder of models, each with versions of its own, and metseg-serving that serves it."""

    folder: Path
    standin: Standin
    control: ServingControl
    client: ServingClient

    @property
    def rollout(self) -> Rollout:
        return Rollout(self.folder, self.control, self.client, load_limit_s=120)

    def labels(self, model: str) -> Labels | None:
        """What the server itself says."""
        stable, canary = (self._labelled(model, label) for label in (STABLE, CANARY))
        return None if stable is None else Labels(stable=stable, canary=canary)

    def _labelled(self, model: str, label: str) -> int | None:
        status, answer = self.standin.rest(f"/v1/models/{model}/labels/{label}/metadata")
        return int(answer["model_spec"]["version"]) if status == 200 else None

    def loaded(self, model: str) -> set[int]:
        return {one.version for one in self.control.versions(model) if one.is_available}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("rollout")
    saved = save_model(folder / "saved" / "1")
    models = folder / "models"
    config = ModelServerConfig()
    for name, versions in VERSIONS.items():
        for version in range(1, versions + 1):
            shutil.copytree(saved, models / name / str(version))
        entry_of(config, name).model_version_policy.latest.num_versions = 2
    write_cards(models, {name: list(range(1, versions + 1)) for name, versions in VERSIONS.items()})
    write_config(models, config)
    flags = [f"--model_config_file={models}/models.config", *FLAGS]
    with (
        Standin(models, folder / "log", *flags) as standin,
        ServingControl(standin.target) as control,
        ServingClient(standin.target) as client,
    ):
        standin.wait_until_ready()
        yield Place(models, standin, control, client)


def test_a_version_goes_from_canary_to_stable_and_back_and_what_jobs_may_wait_for_stays_loaded(place):
    assert place.labels("forth") is None
    place.rollout.promote("forth", 3, CANARY)
    assert place.labels("forth") == Labels(stable=2, canary=3)
    place.rollout.promote("forth", 3)
    assert place.labels("forth") == Labels(stable=3)
    assert place.loaded("forth") == {2, 3}
    place.rollout.promote("forth", 1)
    assert place.labels("forth") == Labels(stable=1)
    assert place.loaded("forth") == {1, 3}
    for expected in (Labels(stable=3), Labels(stable=2, canary=3), Labels(stable=2)):
        place.rollout.rollback("forth")
        assert place.labels("forth") == expected
    with pytest.raises(RolloutError, match="there is none"):
        place.rollout.rollback("forth")
    assert [step.undone_at is not None for step in History.read(place.folder).steps] == [True] * 3


def test_a_version_that_cannot_be_loaded_is_refused_with_its_reason_and_nothing_changes(place):
    place.rollout.promote("broken", 2)
    (place.folder / "broken" / str(BROKEN)).mkdir()
    (place.folder / "broken" / str(BROKEN) / "saved_model.pb").write_bytes(b"\x08\x01 this is no graph")
    write_cards(place.folder, {"broken": [BROKEN]})
    before = read_config(place.folder)
    with pytest.raises(RolloutError, match="version 3 of broken cannot be loaded: .+"):
        place.rollout.promote("broken", BROKEN)
    assert read_config(place.folder) == before
    assert place.labels("broken") == Labels(stable=2)
    assert place.loaded("broken") == {1, 2}


def test_a_version_that_takes_other_slices_than_jobs_send_is_refused_and_nothing_changes(place):
    place.rollout.promote("foreign", 1)
    save_model(place.folder / "foreign" / "2", channels=1)
    write_cards(place.folder, {"foreign": [2]})
    before = read_config(place.folder)
    with pytest.raises(ServingContractError, match="slices"):
        place.rollout.promote("foreign", 2)
    assert read_config(place.folder) == before
    assert place.labels("foreign") == Labels(stable=1)


def test_a_version_without_a_sound_card_is_not_promoted(place):
    (place.folder / "cards" / "3" / "assets.extra" / "card.json").unlink()
    (place.folder / "cards" / "2" / "assets.extra" / "card.json").write_text("{}")
    with pytest.raises(UnknownModelError, match="versions"):
        place.rollout.promote("cards", 3)
    with pytest.raises(CardError):
        place.rollout.promote("cards", 2)
    with pytest.raises(UnknownModelError, match="name of a model"):
        place.rollout.promote("nope", 1)
    assert place.labels("cards") is None


def test_what_makes_no_sense_is_refused(place):
    with pytest.raises(RolloutError, match="no other is loaded"):
        place.rollout.promote("single", 1, CANARY)
    place.rollout.promote("single", 1)
    for label in (STABLE, CANARY):
        with pytest.raises(RolloutError, match="version 1 of single is stable already"):
            place.rollout.promote("single", 1, label)
    with pytest.raises(RolloutError, match="there is none"):
        place.rollout.rollback("single")


def test_labels_that_were_moved_by_hand_are_not_rolled_back(place):
    place.rollout.promote("hands", 2)
    config = read_config(place.folder)
    entry_of(config, "hands").version_labels[STABLE] = 1
    write_config(place.folder, config)
    with pytest.raises(RolloutError, match="promote instead"):
        place.rollout.rollback("hands")
    with locked(place.folder), pytest.raises(RolloutError, match="another rollout is under way"):
        place.rollout.promote("hands", 2)


def test_a_damaged_or_missing_file_is_told_and_left(tmp_path):
    with pytest.raises(RolloutError, match="expected TF Serving's models.config"):
        read_config(tmp_path)
    (tmp_path / "models.config").write_text("nonsense {")
    with pytest.raises(RolloutError, match="ModelServerConfig"):
        read_config(tmp_path)
    (tmp_path / HISTORY_FILE).write_text("{")
    with pytest.raises(RolloutError, match="damaged"):
        History.read(tmp_path)


def test_models_that_were_dropped_in_are_added_to_the_file_and_nothing_else_changes(tmp_path, monkeypatch, capsys):
    write_cards(tmp_path, {"here": [1], "known": [1]})
    config = ModelServerConfig()
    set_labels(entry_of(config, "known"), Labels(stable=1), {1})
    write_config(tmp_path, config)
    offered = ModelServerConfig()
    for name in ("known", "here", "absent"):
        entry_of(offered, name).model_version_policy.latest.num_versions = 2
    (tmp_path / "offered").mkdir()
    write_config(tmp_path / "offered", offered)
    monkeypatch.setenv("METSEG_MODELS", str(tmp_path))
    main(["models", "add", str(tmp_path / "offered" / "models.config")])
    assert capsys.readouterr().out == "here is served.\n"
    placed = read_config(tmp_path)
    assert [entry.name for entry in placed.model_config_list.config] == ["known", "here"]
    assert entry_of(placed, "known") == entry_of(config, "known")
    assert entry_of(placed, "here") == entry_of(offered, "here")
    main(["models", "add", str(tmp_path / "offered" / "models.config")])
    assert capsys.readouterr().out == ""
    (tmp_path / "models.config").unlink()
    for name in ("here", "known"):
        shutil.rmtree(tmp_path / name)
    with pytest.raises(SystemExit, match="none is there"):
        main(["models", "add", str(tmp_path / "offered" / "models.config")])


def test_the_commands_say_what_they_did(place, monkeypatch, capsys):
    monkeypatch.setenv("METSEG_MODELS", str(place.folder))
    monkeypatch.setenv("METSEG_SERVING", place.standin.target)
    main(["models", "promote", "console", "2"])
    assert capsys.readouterr().out.startswith("console: version 2 is stable (was 1), no canary.\n")
    main(["models", "list"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("console")]
    assert rows == [["console", "1", "AVAILABLE"], ["console", "2", "AVAILABLE", "stable"]]
    main(["models", "rollback", "console"])
    assert capsys.readouterr().out.startswith("console: version 1 is stable (was 2), no canary.\n")
    with pytest.raises(SystemExit, match="metseg-api: expected an earlier version of console"):
        main(["models", "rollback", "console"])
    assert ModelLibrary(place.folder).versions("console") == [2, 1]
