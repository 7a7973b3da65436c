"""What the images install from elsewhere."""

import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("service", ["worker", "ui"])
def test_worker_and_page_install_no_tensorflow(service: str) -> None:
    names = requirements("shared", "client", f"services/{service}")
    assert not any(name.startswith(("tensorflow", "keras")) for name in names)
