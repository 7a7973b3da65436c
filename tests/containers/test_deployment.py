"""The deployment as its users meet it, through the ports that it publishes."""

import json

import httpx
import nibabel as nib
import numpy as np
import pytest
from deployment import SERVICES, Deployment
from page import chromium, visiting
from PIL import Image

from deploy.local.settings import ROOT
from metseg.schemas.job import Job, JobState
from metseg_client import MetsegClient

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

SCAN = ROOT / "samples" / "phantom_demo.nii.gz"
SLICE = ROOT / "samples" / "phantom_slice.png"


def ended(client: MetsegClient, job_id: str) -> Job:
    return client.wait(job_id, timeout_s=300)


def test_every_service_is_healthy(deployment: Deployment) -> None:
    states = [json.loads(line) for line in deployment.compose("ps", "--format", "json").splitlines()]
    assert {state["Service"]: state["Health"] for state in states} == dict.fromkeys(SERVICES, "healthy")


def test_nobody_gets_in_without_a_key(deployment: Deployment) -> None:
    assert httpx.get(f"{deployment.api_url}/v1/jobs").status_code == 401


def test_a_picture_sent_to_the_published_port_comes_back_as_a_mask(client, tmp_path) -> None:
    job = ended(client, client.submit(SLICE).id)
    assert job.state is JobState.SUCCEEDED, job.error
    client.download(job.id, "mask.png", tmp_path / "mask.png")
    with Image.open(SLICE) as source, Image.open(tmp_path / "mask.png") as mask:
        assert mask.size == source.size


def test_a_volume_sent_to_the_published_port_comes_back_on_its_own_grid(
    deployment: Deployment, client, tmp_path
) -> None:
    with deployment.timed("one volume"):
        job = ended(client, client.submit(SCAN).id)
    assert job.state is JobState.SUCCEEDED, job.error
    client.download(job.id, "mask.nii.gz", tmp_path / "mask.nii.gz")
    source, mask = nib.load(SCAN), nib.load(tmp_path / "mask.nii.gz")
    assert mask.shape == source.shape
    np.testing.assert_array_equal(mask.affine, source.affine)
    assert np.asarray(mask.dataobj).any()


def test_the_page_segments_a_scan_in_a_browser(deployment: Deployment) -> None:
    with chromium() as browser, visiting(deployment.page_url, browser) as page:
        page.open()
        page.upload(SLICE)
        page.wait_done(timeout_s=120)
        assert page.lesion_rows()
        assert (page.strange_requests, page.console_errors) == ([], [])
