"""The guess at how long a job will still take."""

from datetime import UTC, datetime, timedelta

from metseg.jobs import Progress, Stage
from metseg.waiting_line import Pace
from metseg_api.estimate import running_s, waiting_s

START = datetime(2026, 11, 23, 10, tzinfo=UTC)


def at(stage: Stage, fraction: float, *, after_s: float = 10) -> Progress:
    beat = START + timedelta(seconds=after_s)
    return Progress(stage=stage, fraction=fraction, attempt=1, started_at=START, updated_at=beat)


def test_those_before_a_waiting_job_are_shared_among_the_workers() -> None:
    assert waiting_s(1, Pace(workers=1, typical_s=10)) == 20
    assert waiting_s(4, Pace(workers=2, typical_s=10)) == 30


def test_there_is_no_guess_without_a_worker_a_place_or_a_job_that_ended() -> None:
    assert waiting_s(1, Pace(workers=0, typical_s=10)) is None
    assert waiting_s(1, Pace(workers=1, typical_s=None)) is None
    assert waiting_s(None, Pace(workers=1, typical_s=10)) is None


def test_a_running_job_goes_on_at_the_pace_it_had() -> None:
    assert running_s(at(Stage.PREDICT, 0.25), START + timedelta(seconds=10)) == 30
    assert running_s(at(Stage.PREDICT, 0.25), START + timedelta(seconds=15)) == 25


def test_an_overdue_job_is_due_now() -> None:
    assert running_s(at(Stage.FINISH, 0.9), START + timedelta(hours=1)) == 0


def test_reading_and_preparing_tell_nothing_of_the_rest() -> None:
    assert running_s(at(Stage.READ, 0.0), START) is None
    assert running_s(at(Stage.PREPARE, 0.08), START) is None
    assert running_s(None, START) is None
