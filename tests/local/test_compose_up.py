"""Which files `make up` takes on which host."""

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.local.settings import ROOT

NEEDED = ("bash", "dirname", "grep")
DOCKER = """#!/bin/sh
case "$1 $2" in
    info*) echo '{"runc":{},"%s":{}}' ;;
    "compose ps") echo "api 127.0.0.1:8000->8000/tcp" ;;
    *) echo "docker $* with $COMPOSE_FILE" ;;
esac
"""


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """The programs of a host without a GPU; its `docker` only tells what it was asked."""
    for name in NEEDED:
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    program(tmp_path, "docker", DOCKER % "io.containerd.runc.v2")
    return tmp_path


def up(host: Path, **environ: str) -> str:
    script = ROOT / "deploy" / "compose" / "up.sh"
    result = subprocess.run(
        [host / "bash", script, "--no-build"],
        env={"PATH": str(host)} | environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def test_a_host_without_a_gpu_gets_the_cpu_file_laid_over(host: Path) -> None:
    told = up(host)
    assert told.startswith("Taking docker-compose.yml:compose.cpu.yaml: no GPU")
    assert (
        "up --build --detach --wait --wait-timeout 600 --no-build with docker-compose.yml:compose.cpu.yaml" in told
    )


def test_a_host_with_a_gpu_and_its_runtime_gets_the_plain_file(host: Path) -> None:
    program(host, "nvidia-smi", "#!/bin/sh\n")
    program(host, "docker", DOCKER % "nvidia")
    told = up(host)
    assert told.startswith("Taking docker-compose.yml: this host has a GPU")
    assert "compose.cpu.yaml" not in told


def test_a_gpu_that_the_engine_cannot_hand_on_does_not_count(host: Path) -> None:
    program(host, "nvidia-smi", "#!/bin/sh\n")
    assert up(host).startswith("Taking docker-compose.yml:compose.cpu.yaml")


def test_a_driver_that_answers_nothing_does_not_count(host: Path) -> None:
    program(host, "nvidia-smi", "#!/bin/sh\nexit 9\n")
    program(host, "docker", DOCKER % "nvidia")
    assert up(host).startswith("Taking docker-compose.yml:compose.cpu.yaml")


def test_files_that_the_operator_names_are_taken(host: Path) -> None:
    told = up(host, COMPOSE_FILE="mine.yaml")
    assert "with mine.yaml" in told
    assert "compose.cpu.yaml" not in told
