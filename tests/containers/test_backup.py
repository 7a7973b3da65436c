"""What the guide says about backups, taken from it to the letter."""

import re
from pathlib import Path

import pytest
from deployment import Deployment

from deploy.local.settings import ROOT
from metseg.schemas.job import JobState

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

GUIDE = ROOT / "docs" / "deployment.md"
SLICE = ROOT / "samples" / "phantom_slice.png"


def blocks(heading: str) -> list[str]:
    """The commands of one section of the guide, block by block."""
    _, _, after = GUIDE.read_text().partition(f"\n## {heading}\n")
    return re.findall(r"^```sh\n(.*?)^```$", after.partition("\n## ")[0], re.MULTILINE | re.DOTALL)


def test_what_was_backed_up_comes_back_after_every_volume_is_lost(
    deployment: Deployment, client, tmp_path: Path
) -> None:
    back_up, restore = blocks("Backup and restore")
    job = client.wait(client.submit(SLICE).id, timeout_s=300)
    mask, models = client.fetch(job.id, "mask.png"), client.models()
    with deployment.timed("backup"):
        deployment.shell(back_up, tmp_path)
    deployment.compose("down", "--volumes")
    assert deployment.leftovers()["volume"] == []
    with deployment.timed("restore"):
        deployment.shell(restore, tmp_path)
    assert client.job(job.id) == job
    assert client.fetch(job.id, "mask.png") == mask
    assert client.models() == models
    assert client.wait(client.submit(SLICE).id, timeout_s=300).state is JobState.SUCCEEDED
