"""An accepted job outlives the services that took it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from live_stack import LiveStack
from phantoms import affine_of, centred, head_with_ball

from metseg.jobs import JobState
from metseg.nifti import write_nifti
from metseg_client import MetsegClient

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
