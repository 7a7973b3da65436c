"""The viewer's geometry, by Node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js: the browser's code is not run alone")
def test_planes_outlines_and_words_of_the_browsers_code() -> None:
    tests = Path(__file__).with_name("geometry.test.mjs")
    done = subprocess.run(["node", "--test", tests], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
