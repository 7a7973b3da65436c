"""A store that is away when an attempt is to be claimed, or its input to be read."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hostile_files import nifti
from outages import FolderOutage, Outage, ServerOutage, once_it_waits
from workplace import Workplace, wait_for

from metseg.jobs.store import JobStore
from metseg.schemas.job import JobResult, JobState
from metseg.storage.open import open_blob_store
from metseg_worker import retry
from metseg_worker.outputs import write as finishing
from metseg_worker.pipeline import process_job
from metseg_worker.pipeline.follow_up import fetch_earlier

STOPPED_WITHIN_S = 5
WAITS = "the attempt waits for the store"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "AGAIN_AFTER_S", 0.1)


@pytest.fixture
def folder(place: Workplace) -> Outage:
    return FolderOutage(place.folder / "store")


@pytest.fixture
def server(place: Workplace) -> Iterator[Outage]:
    with ServerOutage() as made:
        place.store = JobStore(open_blob_store(made.place))
        yield made


@pytest.fixture(params=["folder", pytest.param("server", marks=pytest.mark.slow)])
def outage(request: pytest.FixtureRequest) -> Outage:
    return request.getfixturevalue(request.param)


def before(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, action: Callable[[], object]) -> None:
    """Do something just before a module calls a function."""
    original = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *given, **more: (action(), original(*given, **more))[1])


def has_succeeded_at_once(final: JobResult | None) -> bool:
    return final is not None and (final.state, final.attempt) == (JobState.SUCCEEDED, 1)


def unreadable_input(place: Workplace) -> str:
    """A job whose input cannot be read, though it is there."""
    job_id = place.submit(nifti())
    path = place.folder / "store" / place.store.input_key(job_id)
    path.rename(path.with_name("there"))
    path.symlink_to(path)
    return job_id


def test_an_attempt_waits_until_its_input_can_be_read(
    place: Workplace, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = place.submit(nifti())
    before(monkeypatch, process_job, "card_of", outage.begin)
    with once_it_waits(outage.end) as told:
        final = place.attempt(job_id)
    assert told == [WAITS]
    assert has_succeeded_at_once(final)


def test_an_attempt_waits_until_it_can_be_claimed(place: Workplace, outage: Outage) -> None:
    job_id = place.submit(nifti())
    outage.begin()
    with once_it_waits(outage.end) as told:
        final = place.attempt(job_id)
    assert told == [WAITS]
    assert has_succeeded_at_once(final)


def test_an_attempt_waits_with_its_result_in_hand(
    place: Workplace, folder: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = place.submit(nifti())
    before(monkeypatch, finishing, "write_table", folder.begin)
    with once_it_waits(folder.end) as told:
        final = place.attempt(job_id)
    assert told == [WAITS]
    assert has_succeeded_at_once(final)


@pytest.mark.parametrize("away_at_once", [True, False], ids=["before it is looked at", "before a file"])
def test_a_follow_up_waits_for_the_earlier_result(
    place: Workplace, folder: Outage, tmp_path: Path, away_at_once: bool
) -> None:
    earlier = place.submit(nifti())
    assert has_succeeded_at_once(place.attempt(earlier))
    record = place.store.load(place.submit(nifti(), previous=[earlier]))
    outages = iter([folder.begin])
    if away_at_once:
        next(outages)()
    with once_it_waits(folder.end) as told:
        [found] = fetch_earlier(place.store, record, tmp_path, check=lambda: next(outages, lambda: None)())
    assert told == [WAITS]
    assert found.report.job_id == earlier


def test_a_job_whose_input_cannot_be_read_for_long_fails_by_a_code_of_its_own(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "WAITS_S", 0.3)
    final = place.attempt(unreadable_input(place))
    assert (final.state, final.failure.code) == (JobState.FAILED, "store_unavailable")


@pytest.mark.slow
def test_an_attempt_that_waits_for_its_input_is_cancelled_within_five_seconds(place: Workplace) -> None:
    job_id = unreadable_input(place)
    with place.worker():
        place.dispatcher.enqueue(job_id, 1, timeout_s=60)
        wait_for(lambda: WAITS in place.log())
        place.dispatcher.request_cancel(job_id)
        asked = time.monotonic()
        final = wait_for(lambda: place.store.final(job_id))
        took_s = time.monotonic() - asked
    assert (final.state, final.attempt) == (JobState.CANCELLED, 1)
    assert took_s < STOPPED_WITHIN_S


@pytest.mark.slow
def test_a_worker_waits_for_a_folder_that_comes_back_and_makes_no_other_one(
    place: Workplace, folder: Outage
) -> None:
    job_id = place.submit(nifti())
    with place.worker():
        wait_for(lambda: "worker listens" in place.log())
        folder.begin()
        place.dispatcher.enqueue(job_id, 1, timeout_s=60)
        wait_for(lambda: WAITS in place.log())
        folder.end()
        final = wait_for(lambda: place.store.final(job_id))
    assert has_succeeded_at_once(final)


@pytest.mark.slow
def test_a_cancel_is_heard_while_an_attempt_waits_to_be_claimed(place: Workplace, folder: Outage) -> None:
    job_id = place.submit(nifti())
    with place.worker() as worker:
        wait_for(lambda: "worker listens" in place.log())
        folder.begin()
        place.dispatcher.enqueue(job_id, 1, timeout_s=60)
        wait_for(lambda: WAITS in place.log())
        place.dispatcher.request_cancel(job_id)
        asked = time.monotonic()
        wait_for(lambda: not place.holders.is_held(job_id))
        took_s = time.monotonic() - asked
        folder.end()
        final = wait_for(lambda: place.store.final(job_id))
        assert worker.is_running()
    assert final.state is JobState.CANCELLED
    assert took_s < STOPPED_WITHIN_S
