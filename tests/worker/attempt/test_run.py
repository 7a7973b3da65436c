"""How attempts end: once, out of time, refused, without Redis."""

from hostile_files import nifti
from workplace import Workplace

from metseg.schemas.job import JobState, Stage
from metseg_worker.attempt import run
from metseg_worker.outputs import write as finishing
from metseg_worker.pipeline import process_job


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
    monkeypatch.setattr(finishing, "write_table", lambda lesions, path: (path.touch(), place.store.erase(job_id)))
    place.attempt(job_id)
    assert place.store.blobs.names(f"jobs/{job_id}") == ["tombstone.json"]


def test_a_job_over_its_time_limit_fails(place: Workplace):
    place.serving.pause_s = 0.6
    place.job_timeout_s = 0.5
    final = place.attempt(place.submit(nifti()))
    assert (final.state, final.failure.code) == (JobState.FAILED, "job_timeout")


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

    monkeypatch.setattr(process_job, "build_report", fail)
    final = place.attempt(place.submit(nifti()))
    assert final.failure == run.INTERNAL_ERROR
    assert "DOE" not in final.model_dump_json()


def test_progress_reaches_the_end_of_the_network(place: Workplace):
    job_id = place.submit(nifti())
    place.attempt(job_id)
    progress = place.dispatcher.read_progress([job_id]).get(job_id)
    assert (progress.stage, progress.slices_done) == (Stage.FINISH, progress.slices_total)
    assert progress.slices_total == 8
    assert 0.9 <= progress.fraction <= 1


def test_a_job_goes_on_while_redis_is_away(place: Workplace, monkeypatch):
    monkeypatch.setattr(place, "dispatcher", type(place.dispatcher)("redis://127.0.0.1:1/0"))
    assert place.attempt(place.submit(nifti())).state is JobState.SUCCEEDED
