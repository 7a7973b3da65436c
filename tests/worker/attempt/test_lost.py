"""Attempts that lose their worker, or the job: what becomes of them, and that a job still ends once."""

from datetime import UTC, datetime
from pathlib import Path

from hostile_files import nifti
from workplace import Workplace

from metseg.schemas.job import MOST_LOST_ATTEMPTS, AttemptEnd, Failure, JobResult, JobState
from metseg_worker.outputs import write as finishing


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

    monkeypatch.setattr(finishing, "write_table", lose)
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


def test_an_attempt_whose_end_another_one_has_published_keeps_its_result(place: Workplace, monkeypatch):
    job_id, finish = place.submit(nifti()), place.store.finish

    def come_late(final: JobResult) -> bool:
        monkeypatch.undo()
        place.recovery().lose(job_id, 1, "worker_lost")
        return finish(final)

    monkeypatch.setattr(place.store, "finish", come_late)
    final = place.attempt(job_id)
    assert final.state is JobState.SUCCEEDED
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
    other = JobResult(
        job_id=job_id,
        state=JobState.FAILED,
        finished_at="2026-01-01T00:00:00Z",
        failure=Failure(code="x", message="y"),
    )
    monkeypatch.setattr(finishing, "write_table", lambda lesions, path: (path.touch(), place.store.finish(other)))
    assert place.attempt(job_id) == other
    assert place.names(job_id) == ["end.json", "lease.json"]
