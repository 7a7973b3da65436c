"""An accepted job outlives the services that took it."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fault_audit import audit
from live_stack import LiveStack
from phantoms import affine_of, centred, head_with_ball
from workplace import wait_for

from deploy.local.settings import ROOT
from metseg.imaging.nifti import write_nifti
from metseg.schemas.job import JobState, Stage, WaitsFor
from metseg_client import MetsegClient

DEMO = ROOT / "samples" / "phantom_demo.nii.gz"
AWAY_S = float(os.environ.get("METSEG_TEST_SERVING_AWAY_S") or 15)

pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    shape = (64, 64, 8)
    affine = centred(affine_of(("R", "A", "S"), (3.0, 3.0, 5.0)), shape, np.zeros(3))
    path = tmp_path / "head.nii.gz"
    write_nifti(path, head_with_ball(shape, affine, np.array([20.0, 10.0, 0.0]), 8, 80))
    return path


@pytest.fixture
def client(stack: LiveStack) -> Iterator[MetsegClient]:
    with MetsegClient(stack.api_url) as client:
        yield client


def test_a_job_that_waits_survives_a_restart_of_redis_and_the_gateway(
    stack: LiveStack, client: MetsegClient, scan: Path
) -> None:
    stack.stop("worker")
    try:
        job = client.submit(scan)
        stack.stop("api", "redis")
        stack.start("redis")
        stack.start("api")
    finally:
        stack.start("worker")
        stack.wait_until_ready()
    assert client.wait(job.id).state is JobState.SUCCEEDED


def test_jobs_outlive_a_model_server_that_is_away(stack: LiveStack, client: MetsegClient, scan: Path) -> None:
    """One job runs and three wait; `METSEG_TEST_SERVING_AWAY_S=120` is the long form."""
    jobs = [client.submit(path).id for path in (DEMO, scan, scan, scan)]
    wait_for(lambda: (told := client.job(jobs[0]).progress) and told.stage is Stage.PREDICT)
    stack.stop("serving", sig=signal.SIGKILL)
    stopped = time.monotonic()
    try:
        wait_for(lambda: [client.job(job_id).waits_for for job_id in jobs] == 4 * [WaitsFor.MODEL_SERVER])
        states = [client.job(job_id).state for job_id in jobs]
        time.sleep(max(AWAY_S - (time.monotonic() - stopped), 0))
    finally:
        stack.start("serving")
        stack.wait_until_ready()
    assert states == [JobState.RUNNING, *3 * [JobState.QUEUED]]
    ended = [client.wait(job_id) for job_id in jobs]
    assert [(job.state, job.attempt) for job in ended] == 4 * [(JobState.SUCCEEDED, 1)]
    assert [job.waits_for for job in ended] == 4 * [None]
    found = audit(stack.store, set(jobs))
    assert [line for line in found.wrong if line.startswith(tuple(jobs))] == []
