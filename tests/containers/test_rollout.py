"""Versions of a model come into the volume and labels move, while the deployment works on."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from deployment import Deployment
from workplace import wait_for

from deploy.local.settings import ROOT
from metseg.schemas.job import DEFAULT_MODEL, Job, JobState
from metseg_client import MetsegClient

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

SLICE = ROOT / "samples" / "phantom_slice.png"
SEEN_WITHIN_S = 120
BROKEN = 3

DROP_VERSION = """
import json, pathlib, shutil, sys
model, new, graph = sys.argv[1:]
folder = pathlib.Path("/models", model)
unfinished = folder / f".{new}"
shutil.copytree(folder / "1", unfinished)
card = unfinished / "assets.extra" / "card.json"
card.write_text(json.dumps(json.loads(card.read_text()) | {"version": int(new)}))
if graph:
    (unfinished / "saved_model.pb").write_text(graph)
unfinished.rename(folder / new)
"""
"""Version 1 under another number, complete from the moment that it is there."""


def drop_version(deployment: Deployment, version: int, graph: str = "") -> None:
    python = ("run", "--rm", "--no-deps", "--entrypoint", "python", "models", "-c", DROP_VERSION)
    deployment.compose(*python, DEFAULT_MODEL, str(version), graph)


def segmented(client: MetsegClient) -> Job:
    job = client.wait(client.submit(SLICE).id, timeout_s=300)
    assert job.state is JobState.SUCCEEDED, job.error
    return job


def listed(deployment: Deployment) -> str:
    """What the operator is told of the versions."""
    return deployment.compose("run", "--rm", "--no-deps", "rollout", "list")


def move(deployment: Deployment, *arguments: str) -> None:
    """`make promote` or `make rollback`, without looking at what is installed here."""
    command = ["make", "--old-file=install", *arguments, f"MODEL={DEFAULT_MODEL}", "COMPOSE=1"]
    ran = subprocess.run(command, cwd=ROOT, env=deployment.environ, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_version_dropped_into_the_volume_is_served_without_a_restart(deployment: Deployment, client) -> None:
    (serving,) = deployment.containers("serving")
    started = deployment.started_at(serving)
    drop_version(deployment, 2)
    wait_for(lambda: segmented(client).model.version == 2, timeout_s=SEEN_WITHIN_S)
    assert deployment.started_at(serving) == started


def test_a_broken_version_harms_nothing(deployment: Deployment, client) -> None:
    drop_version(deployment, BROKEN, graph="no graph")
    wait_for(lambda: re.search(rf" {BROKEN}  (LOADING|END)", listed(deployment)), timeout_s=SEEN_WITHIN_S)
    assert segmented(client).model.version == 2


def test_a_broken_version_harms_nothing_across_a_restart_either(deployment: Deployment, client) -> None:
    deployment.compose("restart", "serving")
    deployment.wait_until_healthy("serving")
    assert segmented(client).model.version == 2
    wait_for(lambda: re.search(rf" {BROKEN}  END", listed(deployment)), timeout_s=SEEN_WITHIN_S)


def test_labels_move_forward_and_back_during_work(deployment: Deployment, client) -> None:
    with ThreadPoolExecutor(1) as pool:
        going_on = [pool.submit(segmented, client) for _ in range(8)]
        move(deployment, "promote", "VERSION=1")
        assert segmented(client).model.version == 1
        move(deployment, "rollback")
        assert segmented(client).model.version == 2
    assert {job.result().model.version for job in going_on} <= {1, 2}
