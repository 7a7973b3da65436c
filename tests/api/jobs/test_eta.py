"""The guess at how long a job will still take."""

from datetime import UTC, datetime, timedelta

from metseg.queue.statistics import Throughput
from metseg.schemas.job import Progress, Stage, WaitsFor
from metseg_api.jobs.eta import running_s, waiting_s

START = datetime(2026, 11, 23, 10, tzinfo=UTC)


def at(stage: Stage, fraction: float, *, after_s: float = 10) -> Progress:
    beat = START + timedelta(seconds=after_s)
    return Progress(stage=stage, fraction=fraction, attempt=1, started_at=START, updated_at=beat)


def test_those_before_a_waiting_job_are_shared_among_the_workers() -> None:
    assert waiting_s(1, Throughput(workers=1, typical_s=10)) == 20
    assert waiting_s(4, Throughput(workers=2, typical_s=10)) == 30


def test_there_is_no_guess_without_a_worker_a_place_or_a_job_that_ended() -> None:
    assert waiting_s(1, Throughput(workers=0, typical_s=10)) is None
    assert waiting_s(1, Throughput(workers=1, typical_s=None)) is None
    assert waiting_s(None, Throughput(workers=1, typical_s=10)) is None


def test_there_is_no_guess_while_the_model_server_is_away() -> None:
    assert waiting_s(1, Throughput(workers=1, typical_s=10, serving_is_away=True)) is None
    waiting = at(Stage.PREDICT, 0.25).model_copy(update={"waits_for": WaitsFor.MODEL_SERVER})
    assert running_s(waiting, START + timedelta(seconds=10)) is None


def test_a_running_job_goes_on_at_the_pace_it_had() -> None:
    assert running_s(at(Stage.PREDICT, 0.25), START + timedelta(seconds=10)) == 30
    assert running_s(at(Stage.PREDICT, 0.25), START + timedelta(seconds=15)) == 25


def test_an_overdue_job_is_due_now() -> None:
    assert running_s(at(Stage.FINISH, 0.9), START + timedelta(hours=1)) == 0


def test_reading_and_preparing_tell_nothing_of_the_rest() -> None:
    assert running_s(at(Stage.READ, 0.0), START) is None
    assert running_s(at(Stage.PREPARE, 0.08), START) is None
    assert running_s(None, START) is None
