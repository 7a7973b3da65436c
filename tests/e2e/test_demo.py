"""The commands a person types, on ports and in a store of their own."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from deploy.local.ports import free_port
from deploy.local.settings import ROOT, StackSettings
from deploy.local.stack import answers

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a stack that disturbs no other one."""
    return {
        **os.environ,
        **{variable: str(free_port()) for variable in StackSettings().ports()},
        "METSEG_STORE": str(tmp_path / "store"),
        "METSEG_RUN": str(tmp_path / "run"),
    }


def make(*words: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *words]
    return subprocess.run(
        command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_the_demo_prints_lesions_and_where_the_overlay_lies(environ: dict[str, str]) -> None:
    result = make("demo", "ONCE=1", environ=environ)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "volume mm³" in result.stdout
    assert "Research use only" in result.stdout
    overlay = re.search(r"Overlay picture: (.*)", result.stdout)
    assert overlay is not None
    assert Path(overlay[1]).read_bytes().startswith(b"\x89PNG")
    assert not (Path(environ["METSEG_RUN"]) / "stack.json").exists()


def test_start_returns_when_ready_and_stop_ends_it(environ: dict[str, str]) -> None:
    started = make("start", environ=environ)
    try:
        assert started.returncode == 0, started.stderr
        assert answers(f"http://127.0.0.1:{environ['METSEG_API_PORT']}/readyz")
        while_running = make("demo", "ONCE=1", environ=environ)
        assert while_running.returncode != 0
        assert "running already" in while_running.stderr
    finally:
        stopped = make("stop", environ=environ)
    assert stopped.stdout == "Stopped.\n"
    assert not answers(f"http://127.0.0.1:{environ['METSEG_API_PORT']}/healthz")
