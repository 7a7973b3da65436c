"""A breaker stops the calls after one that timed out, and lets one at a time try again."""

import copy
import threading

import pytest

from metseg.queue import circuit_breaker
from metseg.queue.circuit_breaker import CircuitBreaker, CircuitOpenError

OPEN_S = 5.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now_s = [100.0]
    monkeypatch.setattr(circuit_breaker.time, "monotonic", lambda: now_s[0])
    return now_s


def fail(breaker: CircuitBreaker, error: Exception) -> None:
    with pytest.raises(type(error)), breaker.call():
        raise error


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker(TimeoutError, open_s=OPEN_S)


def test_a_call_that_timed_out_stops_the_next_ones_for_a_while(
    breaker: CircuitBreaker, clock: list[float]
) -> None:
    fail(breaker, TimeoutError())
    for _ in range(2):
        with pytest.raises(CircuitOpenError), breaker.call():
            pytest.fail("the server was asked")
    clock[0] += OPEN_S
    with breaker.call():
        pass
    with breaker.call():
        pass


def test_a_trial_that_times_out_begins_the_wait_anew(breaker: CircuitBreaker, clock: list[float]) -> None:
    fail(breaker, TimeoutError())
    clock[0] += OPEN_S
    fail(breaker, TimeoutError())
    with pytest.raises(CircuitOpenError), breaker.call():
        pass


def test_an_error_that_came_in_time_stops_nothing(breaker: CircuitBreaker, clock: list[float]) -> None:
    fail(breaker, ConnectionRefusedError())
    with breaker.call():
        pass
    fail(breaker, TimeoutError())
    clock[0] += OPEN_S
    fail(breaker, ValueError())
    with breaker.call():
        pass


def test_one_thread_tries_and_may_make_calls_within_its_call(breaker: CircuitBreaker, clock: list[float]) -> None:
    refused: list[bool] = []

    def other() -> None:
        try:
            with breaker.call():
                refused.append(False)
        except CircuitOpenError:
            refused.append(True)

    fail(breaker, TimeoutError())
    clock[0] += OPEN_S
    with breaker.call():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with breaker.call():
            pass
    assert refused == [True]


def test_a_copy_is_the_same_breaker(breaker: CircuitBreaker, clock: list[float]) -> None:
    fail(copy.deepcopy(breaker), TimeoutError())
    with pytest.raises(CircuitOpenError), breaker.call():
        clock[0] += 0
