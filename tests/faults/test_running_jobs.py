"""A job under way: a cancel ends it within five seconds, and a clock that jumps does not end it."""

import time
from collections.abc import Iterator

import httpx
import pytest
from fault_stack import FaultStack
from hostile_files import nifti
from workplace import wait_for

from metseg.queue.rq_worker import MONITORING_INTERVAL_S

STOPPED_WITHIN_S = 5

pytestmark = [pytest.mark.slow, pytest.mark.stack]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultStack]:
    with FaultStack(tmp_path_factory.mktemp("stack") / "here", workers=1) as running:
        yield running


@pytest.mark.parametrize("held_up", [True, False], ids=["in the middle of a call", "between two calls"])
def test_a_running_job_is_cancelled_within_five_seconds(stack: FaultStack, held_up: bool) -> None:
    stack.serving.pause_s = 0.0 if held_up else 0.3
    if held_up:
        stack.serving.gate.clear()
    with httpx.Client(base_url=stack.url, timeout=30) as http:
        path = http.post("/v1/jobs", files={"file": nifti()}).headers["Location"]
        wait_for(lambda: (http.get(path).json()["progress"] or {}).get("stage") == "predict")
        asked = time.monotonic()
        assert http.post(f"{path}/cancel").status_code == 202
        wait_for(lambda: http.get(path).json()["state"] == "cancelled")
        took_s = time.monotonic() - asked
        stack.serving.gate.set()
    assert took_s < STOPPED_WITHIN_S


def test_a_waiting_job_is_cancelled_at_once(stack: FaultStack) -> None:
    stack.serving.gate.clear()
    with httpx.Client(base_url=stack.url, timeout=30) as http:
        first, second = (http.post("/v1/jobs", files={"file": nifti()}).headers["Location"] for _ in range(2))
        assert http.post(f"{second}/cancel").json()["state"] == "cancelled"
        stack.serving.gate.set()
        wait_for(lambda: http.get(first).json()["state"] == "succeeded")


@pytest.mark.parametrize("ahead_s", [-7200, 7200], ids=["back", "forward"])
def test_a_job_outlives_a_clock_that_jumps(stack: FaultStack, ahead_s: int) -> None:
    if not stack.clocks.can_jump:
        pytest.skip("no C compiler: clocks cannot be put")
    stack.serving.gate.clear()
    with httpx.Client(base_url=stack.url, timeout=30) as http:
        path = http.post("/v1/jobs", files={"file": nifti()}).headers["Location"]
        wait_for(lambda: (http.get(path).json()["progress"] or {}).get("stage") == "predict")
        stack.clocks.put("worker-1", ahead_s)
        time.sleep(MONITORING_INTERVAL_S + 2)
        stack.serving.gate.set()
        job = wait_for(lambda: (job := http.get(path).json())["finished_at"] and job)
    stack.clocks.put("worker-1", 0)
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
