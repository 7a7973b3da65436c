"""The deployment while each of its parts dies, and after all of it was stopped: accepted means done once."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import nibabel as nib
import pytest
from deployment import SERVICES, Deployment
from fault_audit import audit
from workplace import wait_for

from deploy.local.settings import ROOT
from metseg.schemas.job import Job, JobState
from metseg_client import ApiError, ApiUnreachableError, MetsegClient

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

SCAN = ROOT / "samples" / "phantom_demo.nii.gz"
SLICE = ROOT / "samples" / "phantom_slice.png"
SLICES = slice(16, 40)
"""Work for some seconds, in which something can be killed."""
TRY_AGAIN = (409, 429, 503)
GIVE_UP_S = 180


@pytest.fixture(scope="module")
def accepted(deployment: Deployment) -> set[str]:
    """Every job that was accepted, those before these tests included."""
    return set(deployment.run_in(deployment.containers("api")[0], "sh", "-c", "ls /store/jobs || true").split())


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Part of the sample."""
    path = tmp_path_factory.mktemp("scan") / "part.nii.gz"
    nib.save(nib.load(SCAN).slicer[:, :, SLICES], path)
    return path


def send(client: MetsegClient, accepted: set[str], path: Path) -> str:
    """Send a scan under one key until it is accepted."""
    key, deadline = uuid4().hex, time.monotonic() + GIVE_UP_S
    while True:
        try:
            job_id = client.submit(path, idempotency_key=key).id
        except (ApiError, ApiUnreachableError) as exc:
            hopeless = isinstance(exc, ApiError) and exc.status not in TRY_AGAIN
            if hopeless or time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            accepted.add(job_id)
            return job_id


def ended(client: MetsegClient, job_id: str) -> Job:
    """The job at its end; the model server alone may take minutes until it is back."""
    return client.wait(job_id, timeout_s=900)


def worker_of(deployment: Deployment, job_id: str) -> str:
    """The short id of the container that made the first attempt at a job."""
    lease = deployment.run_in(
        deployment.containers("api")[0], "cat", f"/store/jobs/{job_id}/attempts/1/lease.json"
    )
    return str(json.loads(lease)["worker"]).partition(":")[0]


def test_three_workers_share_the_jobs(deployment: Deployment, client, accepted) -> None:
    with deployment.timed("scaling to three workers"):
        deployment.up("--scale", "worker=3")
    jobs = [ended(client, job_id) for job_id in [send(client, accepted, SLICE) for _ in range(9)]]
    assert [job.state for job in jobs] == 9 * [JobState.SUCCEEDED]
    workers = {container[:12] for container in deployment.containers("worker")}
    assert len(workers) == 3
    assert {worker_of(deployment, job.id) for job in jobs} == workers


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_killed_during_work_comes_back_and_every_job_ends(
    service: str, deployment: Deployment, client, accepted, scan
) -> None:
    ids = [send(client, accepted, path) for path in (scan, SLICE, SLICE)]
    wait_for(lambda: client.job(ids[0]).state is JobState.RUNNING, timeout_s=GIVE_UP_S)
    with deployment.timed(f"{service} killed, back, and its jobs ended"):
        with ThreadPoolExecutor() as pool:
            list(pool.map(deployment.kill, deployment.containers(service)))
        ids.append(send(client, accepted, SLICE))  # while it starts again
        deployment.wait_until_healthy(service)
        jobs = [ended(client, job_id) for job_id in ids]
    assert [job.state for job in jobs] == len(jobs) * [JobState.SUCCEEDED], [job.error for job in jobs]
    assert (jobs[0].attempt > 1) is (service == "worker")


def test_every_accepted_job_ended_exactly_once(deployment: Deployment, accepted, tmp_path) -> None:
    for look in range(10):  # the reconciler looks through the store each half minute
        found = audit(deployment.copy_store(tmp_path / str(look)), accepted)
        if not found.wrong:
            break
        time.sleep(6)
    assert found.wrong == []
    assert sum(found.ends.values()) == len(accepted)
    assert found.lost_attempts > 0


def test_a_restart_of_everything_in_the_worst_order_keeps_jobs_results_and_queue(
    deployment: Deployment, client, accepted
) -> None:
    done = ended(client, send(client, accepted, SLICE))
    mask = client.fetch(done.id, "mask.png")
    deployment.compose("stop", "worker")
    waiting = [send(client, accepted, SLICE) for _ in range(3)]
    with deployment.timed("down, and up in the worst order"):
        deployment.compose("down")
        for service in reversed(SERVICES):
            deployment.compose("up", "--detach", "--no-deps", service)
        for service in SERVICES:
            deployment.wait_until_healthy(service)
    assert [ended(client, job_id).state for job_id in waiting] == 3 * [JobState.SUCCEEDED]
    assert client.job(done.id) == done
    assert client.fetch(done.id, "mask.png") == mask
