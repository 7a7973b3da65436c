"""What an attempt does while TF Serving answers, is away, or reloads."""

import threading
import time

import grpc
import nibabel
import numpy as np
import pytest
from bright_serving import BrightServing
from hostile_files import nifti
from workplace import Workplace

from metseg.errors import JobTimeoutError, ServingUnavailableError, UnknownModelError
from metseg.schemas.job import JobState, Progress, Stage, WaitsFor, new_job_id
from metseg_worker.attempt import monitor
from metseg_worker.pipeline import predict

EXHAUSTED, INTERNAL = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL


def deep_head() -> np.ndarray:
    """80 slices, which makes ten batches."""
    array = np.zeros((32, 32, 80), np.int16)
    array[8:24, 8:24] = np.arange(16)[:, None]
    return array


def test_serving_that_is_down_fails_the_job_after_its_patience(place: Workplace):
    place.serving_patience_s = 1
    place.serving.stop()
    start = time.monotonic()
    final = place.attempt(place.submit(nifti()))
    assert (final.state, final.failure.code) == (JobState.FAILED, "serving_unavailable")
    assert time.monotonic() - start < 20


def test_patience_is_counted_over_all_calls_of_an_attempt():
    patience, told = predict.Patience(1.5), []
    patience.on_wait = told.append
    patience.wait(ServingUnavailableError("away"), lambda: time.sleep(0.7))
    patience.go_on()
    patience.wait(ServingUnavailableError("away again"), lambda: time.sleep(0.7))
    with pytest.raises(ServingUnavailableError, match="still away"):
        patience.wait(ServingUnavailableError("still away"), lambda: None)
    assert told == [True, False, True]


def test_what_an_attempt_waits_does_not_count_for_its_time_limit(place: Workplace):
    watching = monitor.AttemptMonitor(place.dispatcher, new_job_id(), 1, limit_s=0.5, on_stuck=lambda: None)
    watching.on_wait(True)
    time.sleep(0.6)
    watching.check()
    watching.on_wait(False)
    watching.check()
    assert watching.timings_s()["waiting"] >= 0.6
    time.sleep(0.6)
    with pytest.raises(JobTimeoutError):
        watching.check()


def test_a_job_outlives_a_server_that_is_away_and_shows_what_it_waits_for(place: Workplace):
    port, shown, show = place.serving.port, list[WaitsFor | None](), place.dispatcher.write_progress

    def come_back_once_it_waits(job_id: str, progress: Progress) -> None:
        show(job_id, progress)
        if progress.waits_for is not None and not shown.count(progress.waits_for):
            place.serving = BrightServing(port)
        shown.append(progress.waits_for)

    place.dispatcher.write_progress = come_back_once_it_waits
    place.serving.stop()
    final = place.attempt(place.submit(nifti()))
    place.serving.stop()
    assert (final.state, final.attempt) == (JobState.SUCCEEDED, 1)
    assert WaitsFor.MODEL_SERVER in shown
    assert shown[-1] is None
    assert place.dispatcher.totals()["seconds:waiting"] > 0


def test_a_cancel_is_seen_while_the_server_is_waited_for(place: Workplace):
    place.serving.stop()
    job_id, show = place.submit(nifti()), place.dispatcher.write_progress

    def cancel_once_it_waits(shown_id: str, progress: Progress) -> None:
        show(shown_id, progress)
        if progress.waits_for is not None:
            place.dispatcher.request_cancel(job_id)

    place.dispatcher.write_progress = cancel_once_it_waits
    assert place.attempt(job_id).state is JobState.CANCELLED


def test_serving_that_comes_back_is_asked_again_and_no_slice_is_lost(place: Workplace):
    array = deep_head()
    for z in (1, 30, 31, 62, 79):
        array[10 + z // 8, 12:18, z] = 500
    straight = place.attempt(place.submit(nifti(array)))
    place.serving.refused_calls = {place.serving.calls + number for number in (1, 5, 6, 12)}
    interrupted = place.attempt(place.submit(nifti(array)))
    for name in ("mask.nii.gz", "probability.nii.gz"):
        images = [nibabel.load(place.artefact(final.job_id, name)) for final in (straight, interrupted)]
        assert np.array_equal(*(image.get_fdata() for image in images))


def test_a_cancel_is_seen_between_two_batches(place: Workplace, monkeypatch):
    monkeypatch.setattr(monitor, "LOOK_EVERY_S", 0)
    job_id = place.submit(nifti(deep_head()))
    place.serving.on_call = lambda: place.dispatcher.request_cancel(job_id)
    final = place.attempt(job_id)
    assert (final.state, final.failure, final.artefacts) == (JobState.CANCELLED, None, [])
    assert place.names(job_id) == ["end.json", "lease.json"]
    assert 0 < place.serving.calls < 6


@pytest.mark.parametrize(
    "status",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.ABORTED,
    ],
)
def test_an_error_of_the_server_that_passes_is_no_end_of_a_job(place: Workplace, status: grpc.StatusCode):
    left = [status, status]
    place.serving.refuses = lambda slices: left.pop() if left else None
    final = place.attempt(place.submit(nifti()))
    assert (final.state, left) == (JobState.SUCCEEDED, [])


def test_a_batch_that_is_too_large_for_the_server_is_asked_for_in_halves(place: Workplace):
    straight = place.attempt(place.submit(nifti(deep_head())))
    sizes = []
    place.serving.refuses = lambda slices: sizes.append(slices) or (EXHAUSTED if slices > 2 else None)
    halved = place.attempt(place.submit(nifti(deep_head())))
    assert halved.state is JobState.SUCCEEDED
    assert set(sizes) == {8, 4, 2}
    assert sizes.count(2) == 40
    for name in ("mask.nii.gz", "probability.nii.gz"):
        images = [nibabel.load(place.artefact(final.job_id, name)) for final in (straight, halved)]
        assert np.array_equal(*(image.get_fdata() for image in images))


def test_a_server_that_is_too_slow_for_whole_batches_is_asked_for_less_at_a_time(place: Workplace):
    place.predict_timeout_s, place.serving_patience_s = 1.0, 20
    computing, sizes = threading.Lock(), []

    def compute(slices: int) -> None:
        with computing:  # one call after the other, also those that nobody waits for any more
            sizes.append(slices)
            time.sleep(0.2 * slices)

    place.serving.refuses = compute
    final = place.attempt(place.submit(nifti(deep_head()[:, :, :24])))
    assert final.state is JobState.SUCCEEDED
    assert sum(sizes) <= 3 * 24  # what is computed in vain stays bounded


@pytest.mark.parametrize(("status", "code"), [(EXHAUSTED, "serving_exhausted"), (INTERNAL, "serving_internal")])
def test_an_error_of_the_server_that_stays_fails_the_job_by_its_code(place: Workplace, status, code):
    place.serving_patience_s = 1
    place.serving.refuses = lambda slices: status
    assert place.attempt(place.submit(nifti())).failure.code == code


def test_a_server_that_starts_is_waited_for(place: Workplace, monkeypatch):
    monkeypatch.setattr(predict, "MOST_S", {UnknownModelError: 0.1})
    place.serving.is_loaded = False
    show = place.dispatcher.write_progress

    def load_once_it_waits(job_id: str, progress: Progress) -> None:
        show(job_id, progress)
        if progress.waits_for is not None:
            place.serving.is_loaded = True

    place.dispatcher.write_progress = load_once_it_waits
    assert place.attempt(place.submit(nifti())).state is JobState.SUCCEEDED


def test_a_version_that_is_gone_for_good_fails_the_job_after_little_patience(place: Workplace, monkeypatch):
    monkeypatch.setattr(predict, "MOST_S", {UnknownModelError: 1})
    place.serving.is_gone = True
    assert place.attempt(place.submit(nifti())).failure.code == "model_unknown"


@pytest.mark.parametrize("stage", Stage)
def test_a_cancel_in_any_stage_ends_the_job_without_a_result(place: Workplace, monkeypatch, stage: Stage):
    job_id, show = place.submit(nifti()), place.dispatcher.write_progress

    def show_and_cancel(shown_id: str, progress: Progress) -> None:
        show(shown_id, progress)
        if progress.stage is stage:
            place.dispatcher.request_cancel(job_id)

    monkeypatch.setattr(place.dispatcher, "write_progress", show_and_cancel)
    assert place.attempt(job_id).state is JobState.CANCELLED
    assert place.names(job_id) == ["end.json", "lease.json"]


def test_a_cancel_while_the_result_is_stored_is_kept_to(place: Workplace, monkeypatch):
    job_id, put = place.submit(nifti()), place.store.put_artefact

    def put_and_cancel(*given: object):
        place.dispatcher.request_cancel(job_id)
        return put(*given)

    monkeypatch.setattr(place.store, "put_artefact", put_and_cancel)
    assert place.attempt(job_id).state is JobState.CANCELLED
    assert place.names(job_id) == ["end.json", "lease.json"]
