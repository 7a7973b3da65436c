"""The quick starts of the guide, taken from it to the letter and run against the real services."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest
from live_stack import LiveStack

from deploy.local.settings import ROOT

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]

GUIDE = ROOT / "docs" / "api.md"
SCAN = ROOT / "samples" / "phantom_demo.nii.gz"


def quick_start(language: str) -> str:
    """The first block in that language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def follow(command: list[str], stack: LiveStack, folder: Path) -> str:
    """What a quick start prints, run in a folder that holds `scan.nii.gz`."""
    folder.mkdir()
    shutil.copy(SCAN, folder / "scan.nii.gz")
    environ = os.environ | {"METSEG_API_URL": stack.api_url, "no_proxy": "127.0.0.1"}
    ran = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=240
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_both_quick_starts_end_with_the_same_mask_and_leave_no_job(stack: LiveStack, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    before = jobs(stack)
    by_curl = follow(["bash", "-euo", "pipefail", "-c", quick_start("sh")], stack, tmp_path / "curl")
    by_python = follow([sys.executable, "-c", quick_start("python")], stack, tmp_path / "python")
    assert '"state":"succeeded"' in by_curl
    assert '"name":"mask.nii.gz"' in by_curl
    assert "succeeded" in by_python
    masks = [nib.Nifti1Image.from_filename(tmp_path / name / "mask.nii.gz") for name in ("curl", "python")]
    np.testing.assert_array_equal(*(np.asarray(mask.dataobj) for mask in masks))
    np.testing.assert_array_equal(*(mask.affine for mask in masks))
    rows = (tmp_path / "curl" / "lesions.csv").read_text().splitlines()
    assert len(rows) > 1  # the sample has lesions, and the model finds some
    assert len([line for line in by_python.splitlines() if line[0].isdecimal()]) == len(rows) - 1
    assert jobs(stack) == before


def jobs(stack: LiveStack) -> list[str]:
    page = httpx.get(f"{stack.api_url}/v1/jobs", trust_env=False, timeout=30).json()
    return [job["id"] for job in page["items"]]
