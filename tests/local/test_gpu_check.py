"""`make gpu-check` with programs in the place of docker and nvidia-smi: what it reports, and what stops it."""

import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from deploy.gpu_check.__main__ import GpuReport, StepReport, run_steps
from deploy.gpu_check.host import CheckFailedError, Host
from deploy.gpu_check.steps import Bench, networks, preflight, restart_under_load, writable_root
from deploy.local.settings import ROOT
from metseg.schemas.job import JobState

NVIDIA_SMI = """#!/bin/sh
case "$2" in
    *=driver_version) echo %(driver)s ;;
    *=compute_cap) echo %(generation)s ;;
    *=name) echo "NVIDIA A100" ;;
    *) echo "NVIDIA A100, %(driver)s, %(generation)s, 40960, 5120, 87" ;;
esac
"""
DOCKER = """#!/bin/sh
echo "$GPU_READ_ONLY $*" >> "$CALLS"
case "$1" in info) echo '{"%s":{}}' ;; esac
"""
CARD = {"driver": "550.90", "generation": "8.0"}


class Client:
    """A deployment whose jobs end as `state`."""

    state = JobState.SUCCEEDED

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close nothing."""

    def models(self) -> list[Any]:
        names = ("attention_unet", "unet_plus_plus", "attention_unet")
        return [SimpleNamespace(card=SimpleNamespace(name=name)) for name in names]

    def report(self, _job_id: str) -> Any:
        return SimpleNamespace(source=SimpleNamespace(shape=(256, 256, 30)))

    def submit(self, _scan: Path, _choices: object = None) -> Any:
        return SimpleNamespace(id="j")

    def wait(self, _job_id: str, timeout_s: float) -> Any:
        assert timeout_s > 0
        time.sleep(0.1)
        began = datetime.now(UTC)
        error = None if self.state is JobState.SUCCEEDED else SimpleNamespace(code="serving_unavailable")
        return SimpleNamespace(
            id="j", state=self.state, started_at=began, finished_at=began + timedelta(seconds=2), error=error
        )


class FakeBench(Bench):
    """Speaks to `client`."""

    client = Client()

    def connect(self) -> Any:
        return self.client


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.fixture
def bench(tmp_path: Path) -> FakeBench:
    """A host whose card and engine can be used."""
    for name in ("bash", "dirname", "grep", "sh"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    program(tmp_path, "nvidia-smi", NVIDIA_SMI % CARD)
    program(tmp_path, "docker", DOCKER % "nvidia")
    environ = {"PATH": str(tmp_path), "CALLS": str(tmp_path / "calls")}
    return FakeBench(Host(ROOT, environ, sample_s=0.05), "http://127.0.0.1:9", ROOT / "samples" / "x.nii.gz")


def calls(bench: Bench) -> list[str]:
    return Path(bench.host.environ["CALLS"]).read_text().splitlines()


def test_the_preflight_tells_the_card(bench: FakeBench) -> None:
    told = preflight(bench)
    assert told["words"].startswith("the NVIDIA A100 (compute capability 8.0, driver 550.90) can be handed")
    assert told["card"]["memory.total"] == "40960"


def test_no_driver_fails_the_preflight(bench: FakeBench, tmp_path: Path) -> None:
    (tmp_path / "nvidia-smi").unlink()
    with pytest.raises(CheckFailedError, match="no NVIDIA driver is installed"):
        preflight(bench)


@pytest.mark.parametrize(
    ("card", "engine", "words"),
    [
        ({"driver": "470.1"}, "nvidia", "needs 525 or newer"),
        ({"generation": "5.2"}, "nvidia", "code for 6.0 and newer"),
        ({"generation": "9.0"}, "nvidia", "needs 555 or newer"),
        ({"generation": "12.0"}, "nvidia", "2.21 was never tried"),
        ({}, "runc", "install the NVIDIA Container Toolkit"),
    ],
)
def test_what_is_missing_fails_the_preflight_and_no_other_step_is_taken(
    bench: FakeBench, tmp_path: Path, card: dict[str, str], engine: str, words: str
) -> None:
    program(tmp_path, "nvidia-smi", NVIDIA_SMI % (CARD | card))
    program(tmp_path, "docker", DOCKER % engine)
    first, second = run_steps(bench, (preflight, networks))
    assert (first.outcome, second.outcome) == ("failed", "skipped")
    assert words in first.failure


def test_each_network_has_its_times_and_what_they_took_of_the_card(bench: FakeBench) -> None:
    told = networks(bench)
    assert set(told) == {"attention_unet", "unet_plus_plus"}
    for network in told.values():
        assert (network["seconds"], network["slices_per_second"]) == ([2.0, 2.0], 15.0)
        assert network["card"]["memory_mib"] == 5120
        assert network["card"]["utilization_percent"] == 87
        assert network["card"]["looks"] >= 1


def test_a_job_that_fails_in_a_restart_fails_that_step_alone(bench: FakeBench) -> None:
    bench.client.state = JobState.FAILED
    try:
        restart, root = run_steps(bench, (restart_under_load, writable_root))
    finally:
        bench.client.state = JobState.SUCCEEDED
    assert "of 4 jobs ended ['failed', 'failed', 'failed', 'failed']" in restart.failure
    assert (root.outcome, "serving_unavailable" in root.failure) == ("failed", True)
    assert " compose restart serving" in calls(bench)


def test_the_root_is_tried_writable_and_then_read_only(bench: FakeBench) -> None:
    assert set(writable_root(bench)) == {"GPU_READ_ONLY=false", "GPU_READ_ONLY=true"}
    assert [call.split()[0] for call in calls(bench)] == ["false", "true"]


def test_a_report_is_read_as_it_was_written() -> None:
    steps = [StepReport(name="preflight", outcome="passed", seconds=1.5, told={"words": "fine"})]
    report = GpuReport(made_at=datetime.now(UTC), kernel="6.1", engine="26.1", steps=steps)
    assert GpuReport.model_validate_json(report.model_dump_json()) == report
