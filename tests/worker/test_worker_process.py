"""Real workers: killed, told to stop, told to cancel, without Redis for a while."""

import subprocess
import sys
import time
from contextlib import closing

import psutil
import pytest
from bright_serving import BrightServing
from hostile_files import nifti
from workplace import Workplace, horse_of, wait_for

from metseg.queue.rq_worker import SERVING_LOOK_EVERY_S
from metseg.queue.statistics import WaitingLine
from metseg.schemas.job import JobState
from metseg_worker.scratch import scratch, sweep_scratch


def held(place: Workplace) -> str:
    """A job that the worker has begun, and whose prediction is held back until the gate is opened."""
    job_id = place.submit(nifti())
    place.serving.gate.clear()
    place.dispatcher.enqueue(job_id, 1, timeout_s=60)
    wait_for(lambda: place.serving.calls)
    return job_id


def test_a_killed_work_horse_is_replaced_by_a_second_attempt(place: Workplace):
    with place.worker() as worker:
        job_id = held(place)
        horse_of(worker).kill()
        place.serving.gate.set()
        final = wait_for(lambda: place.store.final(job_id))
    assert (final.state, final.attempt) == (JobState.SUCCEEDED, 2)
    assert place.names(job_id, 1) == ["end.json", "lease.json"]
    assert list((place.folder / "scratch").iterdir()) == []
    assert '"code": "worker_lost"' in place.log()


def test_a_job_of_a_worker_that_is_killed_whole_leaves_no_image_behind(place: Workplace):
    with place.worker() as worker:
        held(place)
        for process in (worker, horse_of(worker)):
            process.kill()
    assert list((place.folder / "scratch").iterdir())
    with place.worker():
        wait_for(lambda: '"swept": 1' in place.log())
    assert not list((place.folder / "scratch").iterdir())


def test_a_worker_that_is_told_to_stop_gives_a_long_job_back(place: Workplace):
    with place.worker() as worker:
        job_id = held(place)
        worker.terminate()
        wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    assert not list((place.folder / "scratch").iterdir())
    assert place.names(job_id) == ["end.json", "lease.json"]
    assert place.store.lost_attempts(job_id) == 0
    place.serving.gate.set()
    with place.worker():
        final = wait_for(lambda: place.store.final(job_id))
    assert (final.state, final.attempt) == (JobState.SUCCEEDED, 2)


def test_a_worker_that_is_told_to_stop_lets_a_short_job_end(place: Workplace):
    with place.worker() as worker:
        job_id = held(place)
        worker.terminate()
        place.serving.gate.set()
        final = wait_for(lambda: place.store.final(job_id))
    assert (final.state, final.attempt) == (JobState.SUCCEEDED, 1)


def test_a_running_job_is_cancelled_in_a_real_worker(place: Workplace):
    with place.worker():
        job_id = held(place)
        place.dispatcher.request_cancel(job_id)
        place.serving.gate.set()
        final = wait_for(lambda: place.store.final(job_id))
    assert final.state is JobState.CANCELLED


def test_no_job_is_taken_while_the_model_server_is_away(place: Workplace):
    port = place.serving.port
    place.serving.stop()
    with place.worker(), closing(WaitingLine(place.redis.url)) as line:
        wait_for(lambda: line.pace().serving_is_away)
        jobs = [place.submit(nifti()) for _ in range(2)]
        for job_id in jobs:
            place.dispatcher.enqueue(job_id, 1, timeout_s=60)
        time.sleep(3 * SERVING_LOOK_EVERY_S)
        assert [place.store.latest_attempt(job_id) for job_id in jobs] == [0, 0]
        assert place.dispatcher.waiting() == set(jobs)
        with BrightServing(port):
            finals = [wait_for(lambda job_id=job_id: place.store.final(job_id)) for job_id in jobs]
    assert [(final.state, final.attempt) for final in finals] == 2 * [(JobState.SUCCEEDED, 1)]
    assert "no job is taken until the model server answers" in place.log()


@pytest.mark.slow
def test_a_worker_survives_a_redis_that_goes_and_comes_back(place: Workplace):
    with place.worker() as worker:
        first = place.submit(nifti())
        place.dispatcher.enqueue(first, 1, timeout_s=60)
        wait_for(lambda: place.store.final(first))
        place.redis.stop()
        wait_for(lambda: "Redis" in place.log())
        place.redis.start()
        second = place.submit(nifti())
        place.dispatcher.enqueue(second, 1, timeout_s=60)
        assert wait_for(lambda: place.store.final(second)).state is JobState.SUCCEEDED
        assert worker.is_running()


def test_the_folder_of_a_living_attempt_is_not_swept(place: Workplace):
    with scratch("id", 1) as folder:
        assert sweep_scratch() == 0
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not list((place.folder / "scratch").iterdir())


def test_a_waiting_worker_holds_no_imaging_library():
    imports = "import sys, metseg_worker.__main__ as worker; worker._import_for_all_jobs(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", imports], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"numpy", "grpc", "nibabel"} <= set(loaded)
    assert {"cc3d", "cv2", "fpdf", "scipy.spatial", "PIL.ImageDraw", "metseg_worker.attempt.run"} & set(
        loaded
    ) == set()
