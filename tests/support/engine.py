"""A container engine for the tests: the machine's own, else one that a script brings up while they run."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local.settings import ROOT

SCRIPT = Path(os.environ.get("METSEG_TEST_ENGINE") or ROOT.parent / "shared" / "tools" / "local-engine.sh")
LOCAL_REDIS = "redis:7-alpine"
"""What the script calls its own Redis, which is Debian's."""


@contextmanager
def engine() -> Iterator[Mapping[str, str]]:
    """The environment in which `docker` finds an engine and Compose; the test is skipped where there is none."""
    own = dict(os.environ)
    if _answers(own):
        yield own
        return
    if not SCRIPT.is_file():
        pytest.skip(f"CONTAINERS NOT TESTED: `docker info` finds no engine, METSEG_TEST_ENGINE no {SCRIPT.name}")
    given = {**own, **_exports("env"), "REDIS_IMAGE": LOCAL_REDIS}
    ran_before = _answers(given)
    if not ran_before and (failure := _bring_up()):
        pytest.skip(f"CONTAINERS NOT TESTED: {SCRIPT.name} could not bring an engine up: {failure}")
    try:
        yield given
    finally:
        if not ran_before:
            subprocess.run(["bash", SCRIPT, "down"], check=True)


def _answers(environ: Mapping[str, str]) -> bool:
    commands = (["docker", "info"], ["docker", "compose", "version"])
    return all(_runs(command, environ) for command in commands)


def _runs(command: list[str], environ: Mapping[str, str]) -> bool:
    try:
        return subprocess.run(command, env=environ, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _bring_up() -> str:
    """What went wrong; empty if nothing did."""
    result = subprocess.run(["bash", SCRIPT, "up"], capture_output=True, text=True, check=False)
    return result.stderr[-500:] if result.returncode else ""


def _exports(command: str) -> dict[str, str]:
    result = subprocess.run(["bash", SCRIPT, command], capture_output=True, text=True, check=True)
    exported = dict(re.findall(r"^export (\w+)=(.*)$", result.stdout, flags=re.MULTILINE))
    return {name: value.replace("$PATH", os.environ["PATH"]) for name, value in exported.items()}
