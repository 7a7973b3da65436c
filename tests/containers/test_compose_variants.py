"""Every combination of the Compose files is valid, by Compose itself and by the published schema."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from engine import engine

from deploy.local.settings import ROOT

pytestmark = pytest.mark.containers

VARIANTS = {
    "gpu": ("docker-compose.yml",),
    "cpu": ("docker-compose.yml", "compose.cpu.yaml"),
    "stand-in": ("docker-compose.yml", "compose.cpu.yaml", "compose.standin.yaml"),
}


@pytest.fixture(scope="module")
def environ() -> Iterator[Mapping[str, str]]:
    with engine() as given:
        yield given


def config(environ: Mapping[str, str], variant: str) -> str:
    """The whole of a variant, every profile included, as Compose understands it."""
    command = ["docker", "compose", "--env-file", os.devnull, "--profile", "*", "config"]
    files = {"COMPOSE_FILE": ":".join(VARIANTS[variant])}
    result = subprocess.run(
        command, cwd=ROOT, env={**environ, **files}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_valid(variant: str, environ: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(config(environ, variant))
    command = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", tmp_path / "compose.yaml"]
    check = subprocess.run(command, env=own_programs(), capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_the_gpu_variant_reserves_gpus(variant: str, environ: Mapping[str, str]) -> None:
    services = yaml.safe_load(config(environ, variant))["services"]
    reserving = {
        name for name, told in services.items() if "reservations" in told.get("deploy", {}).get("resources", {})
    }
    assert reserving == ({"serving", "trainer"} if variant == "gpu" else set())


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_what_is_published_has_a_way_out(variant: str, environ: Mapping[str, str]) -> None:
    networks = yaml.safe_load(config(environ, variant))["networks"]
    assert {name for name, told in networks.items() if not told.get("internal")} == {"front", "monitoring"}


def own_programs() -> dict[str, str]:
    """The environment with the programs of this Python's own environment first."""
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
