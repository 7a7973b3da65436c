"""What the images install from elsewhere."""

import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy.local.settings import ROOT


def requirements(*folders: str) -> list[str]:
    command = [sys.executable, ROOT / "deploy" / "compose" / "requirements.py", *folders]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return result.stdout.splitlines()


def test_an_image_needs_what_its_packages_declare_and_none_of_our_own(tmp_path: Path) -> None:
    for name, text in {
        "library": '[project]\nname = "metseg"\ndependencies = ["numpy>=2"]\n'
        '[project.optional-dependencies]\nqueue = ["rq>=3"]\nimaging = ["scipy>=1"]\n',
        "service": '[project]\nname = "metseg-api"\ndependencies = ["metseg[queue]", "fastapi"]\n',
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text(text)
    assert requirements(str(tmp_path / "library"), str(tmp_path / "service")) == ["fastapi", "numpy>=2", "rq>=3"]


def test_the_gateway_installs_no_imaging_library() -> None:
    names = {line.partition(">")[0] for line in requirements("shared", "services/api")}
    assert {"fastapi", "redis", "grpcio"} <= names
    assert names & {"nibabel", "scipy", "pillow", "connected-components-3d", "tensorflow"} == set()


def test_every_library_of_the_gpu_image_is_pinned_to_the_cuda_that_tensorflow_was_built_with() -> None:
    pinned = dict(
        line.split("==") for line in (ROOT / "constraints-gpu.txt").read_text().splitlines() if line[0] != "#"
    )
    wanted = [Requirement(text) for text in requires("tensorflow") or []]
    libraries = [one for one in wanted if one.marker and one.marker.evaluate({"extra": "and-cuda"})]
    libraries = [one for one in libraries if one.name.startswith("nvidia-")]
    assert {one.name for one in libraries} == set(pinned)
    assert all(pinned[one.name] in one.specifier for one in libraries)
    dockerfile = (ROOT / "services" / "trainer" / "Dockerfile").read_text()
    assert 'PIP_CONSTRAINT="/build/constraints.txt /build/constraints-gpu.txt"' in dockerfile


@pytest.mark.parametrize("service", ["worker", "ui"])
def test_worker_and_page_install_no_tensorflow(service: str) -> None:
    names = requirements("shared", "client", f"services/{service}")
    assert not any(name.startswith(("tensorflow", "keras")) for name in names)
