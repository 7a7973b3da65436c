"""Answers that are no good: problems, pauses, something else that listens, nobody."""

import io
import socket
import time

import httpx
import pytest
from fake_api import FakeApi

from metseg_client import AnswerError, ApiError, ApiUnreachableError, Choices, MetsegClient, Patience
from metseg_client import wire as wire_module


def answering(status: int, content: bytes = b"", **headers: str) -> MetsegClient:
    """A client whose API always answers the same."""
    answer = {name.replace("_", "-"): value for name, value in headers.items()}
    transport = httpx.MockTransport(lambda request: httpx.Response(status, headers=answer, content=content))
    return MetsegClient("http://api", transport=transport)


class Busy(httpx.BaseTransport):
    """An API that says when to come back, so many times, before it answers."""

    def __init__(self, api: FakeApi, *refusals: tuple[int, str]) -> None:
        self.api = api
        self.refusals = list(refusals)
        self.bodies: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.read())
        if self.refusals:
            status, after = self.refusals.pop(0)
            body = b'{"code": "queue_full", "detail": "The queue is full."}'
            return httpx.Response(status, headers={"Retry-After": after} if after else {}, content=body)
        status, headers, content = self.api.answer(
            request.method, request.url.path, request.content, request.headers
        )
        return httpx.Response(status, headers=headers, content=content)


def test_a_problem_becomes_an_error_with_all_its_parts() -> None:
    body = b'{"code": "queue_unavailable", "title": "Queue unavailable", "detail": "Try later.", "status": 503}'
    with answering(503, body, Retry_After="7") as client, pytest.raises(ApiError) as caught:
        client.submit(io.BytesIO(b"scan"))
    error = caught.value
    assert (error.code, error.title, error.detail) == ("queue_unavailable", "Queue unavailable", "Try later.")
    assert (error.status, error.retry_after_s) == (503, 7.0)
    assert str(error) == "Try later."


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"[]", b'{"code": 5}'])
def test_an_error_that_is_no_problem_json_keeps_its_status(body: bytes) -> None:
    with (
        answering(502, body, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT") as client,
        pytest.raises(ApiError) as caught,
    ):
        client.models()
    assert (caught.value.code, caught.value.status, str(caught.value)) == ("http_502", 502, "Bad Gateway")
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>Welcome</html>"), (200, b'{"items": 3}'), (302, b""), (204, b"")]
)
def test_an_answer_of_something_else_is_told_from_one_of_the_api(status: int, body: bytes) -> None:
    with answering(status, body, Location="http://elsewhere/") as client, pytest.raises(AnswerError):
        client.models()


def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with MetsegClient(f"http://127.0.0.1:{port}") as client:
            with pytest.raises(ApiUnreachableError, match=f"127.0.0.1:{port}"):
                client.models()
            assert not client.ready()


def test_a_password_in_the_address_is_not_in_the_message() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with (
        MetsegClient("http://user:secret@api:1", transport=httpx.MockTransport(refuse)) as client,
        pytest.raises(ApiUnreachableError) as caught,
    ):
        client.models()
    assert "secret" not in str(caught.value)


def test_a_silent_api_is_unreachable_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with MetsegClient(url, timeout_s=0.2) as client, pytest.raises(ApiUnreachableError):
            client.models()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have slept."""
    slept: list[float] = []
    monkeypatch.setattr(wire_module.time, "sleep", slept.append)
    return slept


def test_a_patient_client_comes_back_when_it_was_told_to_and_sends_the_whole_scan_again(
    api: FakeApi, pauses: list[float]
) -> None:
    told: list[ApiError] = []
    busy = Busy(api, (503, "7"), (429, "2"), (503, "0"))
    with MetsegClient("http://api", transport=busy, patience=Patience(60, told.append)) as client:
        job = client.submit(io.BytesIO(b"scan bytes"), Choices(model="unet_plus_plus"))
    assert job.id in api.jobs
    assert pauses == [7, 2, 1]
    assert [error.code for error in told] == ["queue_full"] * 3
    assert len(busy.bodies) == 4
    assert all(b"scan bytes" in body and b"unet_plus_plus" in body for body in busy.bodies)


@pytest.mark.parametrize(
    ("patience_s", "refusals", "slept"),
    [
        (0, [(503, "5")], []),
        (8, [(503, "5")] * 2, [5]),
        (60, [(503, "")], []),
        (60, [(503, "90")], []),
    ],
)
def test_patience_ends_before_a_pause_that_is_too_long(
    api: FakeApi, pauses: list[float], patience_s: float, refusals: list[tuple[int, str]], slept: list[float]
) -> None:
    with (
        MetsegClient("http://api", transport=Busy(api, *refusals), patience=Patience(patience_s)) as client,
        pytest.raises(ApiError) as caught,
    ):
        client.models()
    assert caught.value.status == 503
    assert pauses == slept


def test_readiness_is_told_at_once_however_patient_the_client_is(api: FakeApi) -> None:
    began = time.monotonic()
    with MetsegClient("http://api", transport=Busy(api, (503, "30")), patience=Patience(60)) as client:
        assert not client.ready()
    assert time.monotonic() - began < 10
