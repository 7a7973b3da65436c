"""Which files `make up` takes on which host, and what it says is missing there."""

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
NVIDIA_SMI = """#!/bin/sh
case "$1" in
    --id=%(id)s) ;;
    *) exit 6 ;;
esac
case "$2" in
    *driver_version) echo %(driver)s ;;
    *compute_cap) echo %(generation)s ;;
    *name) echo "%(name)s" ;;
esac
"""
A100 = {"id": "0", "driver": "550.90.07", "generation": "8.0", "name": "NVIDIA A100"}


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """The programs of a host without a GPU; its `docker` only tells what it was asked."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in NEEDED:
        (programs / name).symlink_to(shutil.which(name) or name)
    program(programs, "docker", DOCKER % "io.containerd.runc.v2")
    return programs


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the scripts, in which an operator may leave files of his own."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "deploy" / "compose", folder / "deploy" / "compose")
    return folder


def give_gpu(host: Path, **differences: str) -> None:
    """A driver and a card that an engine with NVIDIA's toolkit can hand on, but for `differences`."""
    program(host, "nvidia-smi", NVIDIA_SMI % (A100 | differences))
    program(host, "docker", DOCKER % "nvidia")


def up(host: Path, checkout: Path, **environ: str) -> str:
    result = subprocess.run(
        [host / "bash", checkout / "deploy" / "compose" / "up.sh", "--no-build"],
        env={"PATH": str(host)} | environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


CPU_FILES = "docker-compose.yml:compose.cpu.yaml"


def test_a_host_without_a_gpu_gets_the_cpu_file_laid_over(host: Path, checkout: Path) -> None:
    told = up(host, checkout)
    assert told.startswith(f"Taking {CPU_FILES}: on the CPU, since no NVIDIA driver is installed here")
    assert f"up --build --detach --wait --wait-timeout 1200 --no-build with {CPU_FILES}" in told


@pytest.mark.parametrize(
    "differences",
    [
        {},
        {"generation": "6.1", "driver": "525.60.13"},
        {"generation": "9.0", "driver": "555.42.06", "name": "NVIDIA H100"},
    ],
)
def test_a_host_with_a_gpu_that_can_be_used_gets_the_plain_file(
    host: Path, checkout: Path, differences: dict[str, str]
) -> None:
    give_gpu(host, **differences)
    told = up(host, checkout)
    assert told.startswith(f"Taking docker-compose.yml: the {(A100 | differences)['name']} (compute capability")
    assert "compose.cpu.yaml" not in told


@pytest.mark.parametrize(
    ("differences", "missing"),
    [
        (
            {"driver": "470.199.02"},
            "the NVIDIA driver is 470.199.02, and TensorFlow needs 525 or newer",
        ),
        ({"generation": "5.2", "name": "Tesla M40"}, "the Tesla M40 has compute capability 5.2"),
        (
            {"generation": "9.0", "name": "NVIDIA H100"},
            "driver is 550.90.07, and the NVIDIA H100 needs 555 or newer: update it",
        ),
        ({"generation": "10.0", "name": "NVIDIA B200"}, "the NVIDIA B200 has compute capability 10.0, for which"),
        (
            {"generation": "12.0", "driver": "570.1", "name": "RTX 5090"},
            "the RTX 5090 has compute capability 12.0",
        ),
        ({"id": "1"}, "nvidia-smi finds no GPU 0: load the NVIDIA driver"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_told_with_what_is_missing(
    host: Path, checkout: Path, differences: dict[str, str], missing: str
) -> None:
    give_gpu(host, **differences)
    told = up(host, checkout)
    assert told.startswith(f"Taking {CPU_FILES}: on the CPU, since ")
    assert missing in told


def test_a_gpu_that_the_engine_cannot_hand_on_is_told(host: Path, checkout: Path) -> None:
    give_gpu(host)
    program(host, "docker", DOCKER % "io.containerd.runc.v2")
    assert "since the container engine cannot hand a GPU on: install the NVIDIA Container Tool" in up(
        host, checkout
    )


def test_a_driver_that_answers_nothing_is_told(host: Path, checkout: Path) -> None:
    give_gpu(host)
    program(host, "nvidia-smi", "#!/bin/sh\nexit 9\n")
    assert "since nvidia-smi finds no GPU 0: load the NVIDIA driver" in up(host, checkout)


def test_the_gpu_that_the_operator_names_is_the_one_that_is_looked_at(host: Path, checkout: Path) -> None:
    give_gpu(host, id="GPU-5")
    assert up(host, checkout, SERVING_GPU="GPU-5").startswith("Taking docker-compose.yml: ")
    (checkout / ".env").write_text("SERVING_GPU='GPU-5'\n")
    assert up(host, checkout).startswith("Taking docker-compose.yml: ")


def test_an_engine_that_does_not_answer_is_told(host: Path, checkout: Path) -> None:
    program(host, "docker", "#!/bin/sh\nexit 1\n")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        up(host, checkout)
    assert "The container engine does not answer" in caught.value.stderr


def test_files_that_the_operator_names_are_taken(host: Path, checkout: Path) -> None:
    told = up(host, checkout, COMPOSE_FILE="mine.yaml")
    assert "with mine.yaml" in told
    assert "compose.cpu.yaml" not in told


def test_files_that_the_operator_names_in_env_are_taken(host: Path, checkout: Path) -> None:
    (checkout / ".env").write_text("# COMPOSE_FILE=no.yaml\nCOMPOSE_FILE=docker-compose.yml:mine.yaml\n")
    told = up(host, checkout)
    assert "with docker-compose.yml:mine.yaml" in told
    assert "compose.cpu.yaml" not in told
    assert "with yours.yaml" in up(host, checkout, COMPOSE_FILE="yours.yaml")


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize("name", ["docker-compose.override.yml", "compose.override.yaml"])
def test_an_override_file_is_laid_over_last_as_compose_does_by_itself(
    host: Path, checkout: Path, name: str, gpu: bool
) -> None:
    if gpu:
        give_gpu(host)
    (checkout / name).touch()
    files = "docker-compose.yml" if gpu else CPU_FILES
    assert f"with {files}:{name}" in up(host, checkout)
