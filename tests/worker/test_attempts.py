"""How attempts end: once, cancelled, out of time, without TF Serving, killed."""

import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import pytest
from hostile_files import nifti
from workplace import Workplace, horse_of, wait_for

from metseg.jobs import MOST_LOST_ATTEMPTS, AttemptEnd, Failure, Final, JobState, Stage
from metseg_worker import asking, run, watch
from metseg_worker.scratch import scratch, sweep_scratch


def deep_head() -> np.ndarray:
    """80 slices, which makes ten batches."""
    array = np.zeros((32, 32, 80), np.int16)
    array[8:24, 8:24] = np.arange(16)[:, None]
    return array


def test_a_second_run_of_a_job_changes_nothing(place: Workplace):
    job_id = place.submit(nifti())
    first = place.attempt(job_id)
    calls = place.serving.calls
    assert place.attempt(job_id, 1) == first
    assert place.attempt(job_id, 2) == first
    assert place.serving.calls == calls
    assert place.names(job_id, 2) == []


def test_an_attempt_that_another_worker_has_is_left_alone(place: Workplace):
    job_id = place.submit(nifti())
    assert place.store.claim(job_id, 1)
    assert place.attempt(job_id, 1) is None
    assert place.serving.calls == 0


def test_a_job_that_is_gone_is_skipped(place: Workplace):
    job_id = place.submit(nifti())
    place.store.erase(job_id)
    assert place.attempt(job_id) is None
    assert place.store.blobs.names(f"jobs/{job_id}") == ["tombstone.json"]


def test_a_job_that_is_deleted_while_it_runs_leaves_nothing(place: Workplace, monkeypatch):
    job_id = place.submit(nifti())
    monkeypatch.setattr(run, "write_table", lambda lesions, path: (path.touch(), place.store.erase(job_id)))
    place.attempt(job_id)
    assert place.store.blobs.names(f"jobs/{job_id}") == ["tombstone.json"]


def test_a_cancel_is_seen_between_two_batches(place: Workplace, monkeypatch):
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0)
    job_id = place.submit(nifti(deep_head()))
    place.serving.on_call = lambda: place.dispatcher.request_cancel(job_id)
    final = place.attempt(job_id)
    assert (final.state, final.failure, final.artefacts) == (JobState.CANCELLED, None, [])
    assert place.names(job_id) == ["end.json", "lease.json"]
    assert 0 < place.serving.calls < 6


def test_a_job_over_its_time_limit_fails(place: Workplace):
    place.serving.pause_s = 0.6
    place.job_timeout_s = 0.5
    final = place.attempt(place.submit(nifti()))
    assert (final.state, final.failure.code) == (JobState.FAILED, "job_timeout")


def test_serving_that_is_down_fails_the_job_after_some_patience(place: Workplace, monkeypatch):
    monkeypatch.setattr(run, "predictor", lambda *given: asking.predictor(*given, patience_s=1))
    place.serving.stop()
    start = time.monotonic()
    final = place.attempt(place.submit(nifti()))
    assert (final.state, final.failure.code) == (JobState.FAILED, "serving_unavailable")
    assert time.monotonic() - start < 10


def test_serving_that_comes_back_is_asked_again_and_no_slice_is_lost(place: Workplace):
    array = deep_head()
    for z in (1, 30, 31, 62, 79):
        array[10 + z // 8, 12:18, z] = 500
    straight = place.attempt(place.submit(nifti(array)))
    place.serving.refused_calls = {place.serving.calls + number for number in (1, 5, 6, 12)}
    interrupted = place.attempt(place.submit(nifti(array)))
    masks = [{one.name: one.sha256 for one in final.artefacts} for final in (straight, interrupted)]
    assert masks[0]["mask.nii.gz"] == masks[1]["mask.nii.gz"]
    assert masks[0]["probability.nii.gz"] == masks[1]["probability.nii.gz"]


def test_a_model_that_was_changed_since_is_refused(place: Workplace):
    job_id = place.submit(nifti())
    record = place.store.load(job_id)
    place.store.create(record.model_copy(update={"model": record.model.model_copy(update={"digest": "other"})}))
    assert place.attempt(job_id).failure.code == "card_invalid"


def test_an_input_that_changed_in_the_store_is_refused(place: Workplace):
    job_id = place.submit(nifti())
    place.store.blobs.put(place.store.input_key(job_id), nifti()[:-2] + b"xx")
    assert place.attempt(job_id).failure.code == "store_failed"


def test_an_unknown_error_is_stored_without_its_words(place: Workplace, monkeypatch, caplog):
    def fail(*_: object) -> None:
        raise RuntimeError("DOE^JANE")

    monkeypatch.setattr(run, "build_report", fail)
    final = place.attempt(place.submit(nifti()))
    assert final.failure == run.INTERNAL_ERROR
    assert "DOE" not in final.model_dump_json()


def test_progress_reaches_the_end_of_the_network(place: Workplace):
    job_id = place.submit(nifti())
    place.attempt(job_id)
    progress = place.dispatcher.read_progress(job_id)
    assert (progress.stage, progress.slices_done) == (Stage.FINISH, progress.slices_total)
    assert progress.slices_total == 8
    assert 0.9 <= progress.fraction <= 1


def test_a_job_goes_on_while_redis_is_away(place: Workplace, monkeypatch):
    monkeypatch.setattr(place, "dispatcher", type(place.dispatcher)("redis://127.0.0.1:1/0"))
    assert place.attempt(place.submit(nifti())).state is JobState.SUCCEEDED


def test_a_lost_attempt_is_followed_by_the_next(place: Workplace):
    job_id = place.submit(nifti())
    place.store.claim(job_id, 1)
    place.store.blobs.put(place.store.artefact_key(job_id, 1, "mask.nii.gz"), b"half")
    before = place.dispatcher.queue_length()
    place.recovery().lose(job_id, 1, "worker_lost")
    assert place.dispatcher.queue_length() == before + 1
    assert place.store.final(job_id) is None
    assert place.names(job_id) == ["end.json", "lease.json"]


def test_a_job_fails_for_good_when_three_attempts_lost_their_worker(place: Workplace):
    job_id = place.submit(nifti())
    for attempt in range(1, MOST_LOST_ATTEMPTS + 1):
        assert place.store.final(job_id) is None
        place.recovery().lose(job_id, attempt, "worker_lost")
    final = place.store.final(job_id)
    assert (final.state, final.attempt, final.failure.code) == (JobState.FAILED, 3, "worker_lost")


def test_an_attempt_that_was_given_back_does_not_count_as_lost(place: Workplace):
    job_id = place.submit(nifti())
    assert place.store.claim(job_id, 1)
    place.store.end_attempt(job_id, 1, AttemptEnd(ended_at=datetime.now(UTC)))
    for attempt in (2, 3):
        place.recovery().lose(job_id, attempt, "worker_lost")
    assert place.store.final(job_id) is None
    assert place.store.lost_attempts(job_id) == 2


def test_an_attempt_that_ran_out_of_time_is_not_repeated(place: Workplace):
    job_id = place.submit(nifti())
    place.recovery().lose(job_id, 1, "job_timeout")
    final = place.store.final(job_id)
    assert (final.state, final.attempt, final.failure.code) == (JobState.FAILED, 1, "job_timeout")


def test_an_attempt_that_was_given_up_cannot_publish(place: Workplace, monkeypatch):
    job_id = place.submit(nifti())

    def lose(_lesions: object, path: Path) -> None:
        path.touch()
        place.recovery().lose(job_id, 1, "worker_lost")

    monkeypatch.setattr(run, "write_table", lose)
    assert place.attempt(job_id) is None
    assert place.names(job_id) == ["end.json", "lease.json"]
    monkeypatch.undo()
    assert place.attempt(job_id, 2).attempt == 2


def test_an_attempt_that_died_between_its_end_and_the_jobs_has_succeeded(place: Workplace, monkeypatch):
    job_id = place.submit(nifti())
    monkeypatch.setattr(place.store, "finish", lambda final: False)
    monkeypatch.setattr(place.store, "discard_artefacts", lambda *_: None)
    assert place.attempt(job_id) is None
    monkeypatch.undo()
    place.recovery().lose(job_id, 1, "worker_lost")
    final = place.store.final(job_id)
    assert (final.state, final.attempt) == (JobState.SUCCEEDED, 1)
    assert {one.name for one in final.artefacts} < set(place.names(job_id))


def test_a_lost_attempt_of_a_cancelled_job_ends_it(place: Workplace):
    job_id = place.submit(nifti())
    place.dispatcher.request_cancel(job_id)
    place.recovery().lose(job_id, 1, "worker_lost")
    assert place.store.final(job_id).state is JobState.CANCELLED


def test_a_job_that_had_ended_is_not_tried_again(place: Workplace):
    job_id = place.submit(nifti())
    ended = place.attempt(job_id)
    place.recovery().lose(job_id, 1, "worker_lost")
    assert place.store.final(job_id) == ended
    assert "mask.nii.gz" in place.names(job_id)


def test_the_first_end_of_a_job_stands(place: Workplace, monkeypatch):
    job_id = place.submit(nifti())
    other = Final(
        job_id=job_id,
        state=JobState.FAILED,
        finished_at="2026-01-01T00:00:00Z",
        failure=Failure(code="x", message="y"),
    )
    monkeypatch.setattr(run, "write_table", lambda lesions, path: (path.touch(), place.store.finish(other)))
    assert place.attempt(job_id) == other
    assert place.names(job_id) == ["end.json", "lease.json"]


def test_a_killed_work_horse_is_replaced_by_a_second_attempt(place: Workplace):
    job_id = place.submit(nifti())
    place.serving.gate.clear()
    with place.worker() as worker:
        place.dispatcher.enqueue(job_id, 1, timeout_s=60)
        wait_for(lambda: place.serving.calls)
        horse_of(worker).kill()
        place.serving.gate.set()
        final = wait_for(lambda: place.store.final(job_id))
    assert (final.state, final.attempt) == (JobState.SUCCEEDED, 2)
    assert place.names(job_id, 1) == ["end.json", "lease.json"]
    assert list((place.folder / "scratch").iterdir()) == []
    assert '"code": "worker_lost"' in place.log()


def test_a_job_of_a_worker_that_is_killed_whole_leaves_no_image_behind(place: Workplace):
    job_id = place.submit(nifti())
    place.serving.gate.clear()
    with place.worker() as worker:
        place.dispatcher.enqueue(job_id, 1, timeout_s=60)
        wait_for(lambda: place.serving.calls)
        for process in (worker, horse_of(worker)):
            process.kill()
    assert list((place.folder / "scratch").iterdir())
    with place.worker():
        wait_for(lambda: '"swept": 1' in place.log())
    assert not list((place.folder / "scratch").iterdir())


def test_a_worker_that_is_told_to_stop_gives_a_long_job_back(place: Workplace):
    job_id = place.submit(nifti())
    place.serving.gate.clear()
    with place.worker() as worker:
        place.dispatcher.enqueue(job_id, 1, timeout_s=60)
        wait_for(lambda: place.serving.calls)
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
    job_id = place.submit(nifti())
    place.serving.gate.clear()
    with place.worker() as worker:
        place.dispatcher.enqueue(job_id, 1, timeout_s=60)
        wait_for(lambda: place.serving.calls)
        worker.terminate()
        place.serving.gate.set()
        final = wait_for(lambda: place.store.final(job_id))
    assert (final.state, final.attempt) == (JobState.SUCCEEDED, 1)


def test_the_folder_of_a_living_attempt_is_not_swept(place: Workplace):
    with scratch("id", 1) as folder:
        assert sweep_scratch() == 0
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not list((place.folder / "scratch").iterdir())


def test_a_running_job_is_cancelled_in_a_real_worker(place: Workplace):
    job_id = place.submit(nifti())
    place.serving.gate.clear()
    with place.worker():
        place.dispatcher.enqueue(job_id, 1, timeout_s=60)
        wait_for(lambda: place.serving.calls)
        place.dispatcher.request_cancel(job_id)
        place.serving.gate.set()
        final = wait_for(lambda: place.store.final(job_id))
    assert final.state is JobState.CANCELLED


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
