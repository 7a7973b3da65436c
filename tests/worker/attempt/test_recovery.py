"""What real workers do when they, their horses or their Redis die."""

import json
import time

import psutil
import pytest
from hostile_files import nifti
from workplace import Workplace, horse_of, wait_for

from metseg.jobs.layout import LEASE
from metseg.schemas.job import JobState, Stage
from metseg_worker.attempt.reconciler_process import ReconcilerProcess
from metseg_worker.attempt.serving_probe import ServingProbe
from metseg_worker.settings import WorkerSettings

NOTICED_WITHIN_S = 30


def holder_of(place: Workplace, job_id: str) -> psutil.Process:
    """The process that has the first attempt at a job, as its lease tells."""
    lease = json.loads(place.store.blobs.get(place.store.artefact_key(job_id, 1, LEASE)))
    return psutil.Process(int(lease["worker"].rpartition(":")[2]))


def running_job(place: Workplace) -> str:
    """A job that is held up in the middle of its first attempt."""
    job_id = place.submit(nifti())
    place.serving.gate.clear()
    place.dispatcher.enqueue(job_id, 1, timeout_s=60)
    wait_for(lambda: place.serving.calls)
    return job_id


@pytest.mark.slow
def test_a_worker_that_is_killed_whole_is_noticed_within_thirty_seconds(place: Workplace) -> None:
    with place.worker() as one, place.worker() as other:
        job_id = running_job(place)
        horse = holder_of(place, job_id)
        [busy] = [worker for worker in (one, other) if horse in worker.children()]
        for process in (busy, *busy.children(recursive=True)):
            process.kill()
        died = time.monotonic()
        wait_for(lambda: place.store.latest_attempt(job_id) == 2)
        took_s = time.monotonic() - died
        place.serving.gate.set()
        final = wait_for(lambda: place.store.final(job_id))
    assert (final.state, final.attempt) == (JobState.SUCCEEDED, 2)
    assert place.names(job_id, 1) == ["end.json", "lease.json"]
    assert took_s < NOTICED_WITHIN_S


@pytest.mark.slow
def test_a_redis_that_loses_its_data_loses_no_job(place: Workplace) -> None:
    with place.worker():
        runs = running_job(place)
        waits = place.submit(nifti())
        place.dispatcher.enqueue(waits, 1, timeout_s=60)
        place.redis.stop()
        place.redis.start()
        wait_for(lambda: place.holders.is_held(runs))
        place.serving.gate.set()
        finals = [wait_for(lambda one=one: place.store.final(one)) for one in (runs, waits)]
    assert [(final.state, final.attempt) for final in finals] == [(JobState.SUCCEEDED, 1)] * 2


@pytest.mark.slow
def test_an_attempt_that_was_frozen_and_taken_for_dead_wakes_up_too_late(place: Workplace) -> None:
    with place.worker() as first:
        job_id = running_job(place)
        horse = horse_of(first)
        first.suspend()
        horse.suspend()
        try:
            with place.worker():
                place.serving.gate.set()
                final = wait_for(lambda: place.store.final(job_id))
        finally:
            horse.resume()
            first.resume()
        psutil.wait_procs([horse], timeout=20)
    assert (final.state, final.attempt) == (JobState.SUCCEEDED, 2)
    assert place.store.final(job_id) == final
    assert place.names(job_id, 1) == ["end.json", "lease.json"]


def test_a_cancel_stops_a_job_that_is_in_the_middle_of_something_long(place: Workplace) -> None:
    with place.worker():
        job_id = running_job(place)
        asked = time.monotonic()
        place.dispatcher.request_cancel(job_id)
        final = wait_for(lambda: place.store.final(job_id))
        took_s = time.monotonic() - asked
    assert final.state is JobState.CANCELLED
    assert took_s < 5
    assert "attempt does not stop" in place.log()
    assert list((place.folder / "scratch").iterdir()) == []


def test_a_keeper_dies_with_its_worker(place: Workplace) -> None:
    with place.worker() as worker:
        [reconciler_process] = wait_for(worker.children)
        worker.kill()
        gone, _ = psutil.wait_procs([reconciler_process], timeout=20)
    assert gone == [reconciler_process]


def test_a_dead_keeper_is_replaced(place: Workplace) -> None:
    settings = WorkerSettings.from_env(place.environment())
    reconciler_process = ReconcilerProcess(settings, ServingProbe(settings))
    before = set(psutil.Process().children())
    reconciler_process.ensure()
    try:
        [first] = set(psutil.Process().children()) - before
        first.kill()
        wait_for(lambda: first.status() == psutil.STATUS_ZOMBIE)

        def another() -> set[psutil.Process]:
            reconciler_process.ensure()  # repeatedly, as the worker does: threads may outlive the main one
            return set(psutil.Process().children()) - before - {first}

        [second] = wait_for(another)
        reconciler_process.ensure()
        assert set(psutil.Process().children()) - before == {second}
    finally:
        reconciler_process.stop()
    assert not second.is_running()


@pytest.mark.slow
def test_an_input_that_kills_its_horse_each_time_does_not_stop_the_queue(place: Workplace) -> None:
    place.serving.pause_s = 2
    poison, good = place.submit(nifti()), place.submit(nifti())
    for job_id in (poison, good):
        place.dispatcher.enqueue(job_id, 1, timeout_s=60)
    with place.worker() as worker:
        for attempt in (1, 2, 3):
            wait_for(lambda attempt=attempt: is_at(place, poison, attempt))
            horse_of(worker).kill()
        finals = [wait_for(lambda one=one: place.store.final(one)) for one in (poison, good)]
    assert [final.state for final in finals] == [JobState.FAILED, JobState.SUCCEEDED]
    assert finals[0].failure.code == "worker_lost"


def is_at(place: Workplace, job_id: str, attempt: int) -> bool:
    """Whether the network is being asked for the sake of that attempt."""
    progress = place.dispatcher.read_progress([job_id]).get(job_id)
    return progress is not None and (progress.attempt, progress.stage) == (attempt, Stage.PREDICT)
