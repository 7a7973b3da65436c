"""What an attempt does while TF Serving answers, is away, or reloads."""

import time

import nibabel
import numpy as np
import pytest
from following import soon
from hostile_files import nifti
from workplace import Workplace

from metseg.jobs import JobState, Progress, Stage
from metseg_worker import asking, making, watch


def deep_head() -> np.ndarray:
    """80 slices, which makes ten batches."""
    array = np.zeros((32, 32, 80), np.int16)
    array[8:24, 8:24] = np.arange(16)[:, None]
    return array


def test_serving_that_is_down_fails_the_job_after_some_patience(place: Workplace, monkeypatch):
    monkeypatch.setattr(making, "predictor", lambda *given: asking.predictor(*given, patience_s=1))
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
    for name in ("mask.nii.gz", "probability.nii.gz"):
        images = [nibabel.load(place.artefact(final.job_id, name)) for final in (straight, interrupted)]
        assert np.array_equal(*(image.get_fdata() for image in images))


def test_a_cancel_is_seen_between_two_batches(place: Workplace, monkeypatch):
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0)
    job_id = place.submit(nifti(deep_head()))
    place.serving.on_call = lambda: place.dispatcher.request_cancel(job_id)
    final = place.attempt(job_id)
    assert (final.state, final.failure, final.artefacts) == (JobState.CANCELLED, None, [])
    assert place.names(job_id) == ["end.json", "lease.json"]
    assert 0 < place.serving.calls < 6


def test_a_version_that_is_unloaded_for_a_moment_is_asked_again(place: Workplace):
    place.serving.is_loaded = False
    with soon(lambda: setattr(place.serving, "is_loaded", True)):
        assert place.attempt(place.submit(nifti())).state is JobState.SUCCEEDED


def test_a_version_that_is_gone_for_good_fails_the_job_after_some_patience(place: Workplace, monkeypatch):
    monkeypatch.setattr(making, "predictor", lambda *given: asking.predictor(*given, patience_s=1))
    place.serving.is_loaded = False
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
