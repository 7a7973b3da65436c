"""The shell scripts behind `make`."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.local.settings import ROOT

SCRIPTS = [*sorted((ROOT / "deploy").glob("*/*.sh")), ROOT / ".ci" / "run"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with one shipped model and the script that looks for its export."""
    (tmp_path / "deploy" / "local").mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "local" / "models_are_exported.sh", tmp_path / "deploy" / "local")
    (tmp_path / "models" / "weights").mkdir(parents=True)
    ship(tmp_path, "attention_unet-12")
    return tmp_path


def ship(checkout: Path, stem: str) -> None:
    (checkout / "models" / "weights" / f"{stem}.card.json").write_text("{}\n")


def is_exported(checkout: Path) -> bool:
    return subprocess.run([checkout / "deploy" / "local" / "models_are_exported.sh"], check=False).returncode == 0


def export(checkout: Path, card: str, name: str = "attention_unet", version: str = "12") -> Path:
    place = checkout / "models" / name / version
    (place / "assets.extra").mkdir(parents=True)
    (place / "saved_model.pb").touch()
    (place / "assets.extra" / "card.json").write_text(card)
    return place


def test_a_shipped_model_without_its_export_is_noticed(checkout: Path) -> None:
    assert not is_exported(checkout)


def test_an_export_with_the_shipped_card_is_kept(checkout: Path) -> None:
    export(checkout, "{}\n")
    assert is_exported(checkout)


def test_an_export_of_older_weights_is_noticed(checkout: Path) -> None:
    export(checkout, '{"threshold": 0.4}\n')
    assert not is_exported(checkout)


def test_half_an_export_is_noticed(checkout: Path) -> None:
    (export(checkout, "{}\n") / "saved_model.pb").unlink()
    assert not is_exported(checkout)


def test_each_of_several_shipped_models_needs_its_export(checkout: Path) -> None:
    for stem in ("a-1", "unet_plus_plus-1"):
        ship(checkout, stem)
        assert not is_exported(checkout)
    export(checkout, "{}\n", "a", "1")
    export(checkout, "{}\n", "unet_plus_plus", "1")
    assert not is_exported(checkout)
    export(checkout, "{}\n")
    assert is_exported(checkout)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_parses_and_stops_at_its_first_error(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert "set -euo pipefail" in script.read_text()


def test_make_alone_lists_every_target() -> None:
    listed = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    assert phony is not None
    assert {line.split()[1] for line in listed.stdout.splitlines()} == set(phony[1].split())


def test_an_old_python_is_refused_with_the_versions_that_do(tmp_path: Path) -> None:
    old = tmp_path / "python-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    result = subprocess.run(
        [ROOT / "deploy" / "local" / "make_venv.sh", tmp_path / "venv"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "3.11, 3.12 or 3.13" in result.stderr


def test_a_machine_without_chromium_and_without_root_is_told_what_is_skipped(tmp_path: Path) -> None:
    for program in ("bash", "dirname"):
        (tmp_path / program).symlink_to(shutil.which(program) or program)
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    result = subprocess.run(
        [tmp_path / "bash", ROOT / "deploy" / "local" / "system_parts.sh", "chromium"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "browser tests will be skipped" in result.stdout
