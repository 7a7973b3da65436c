"""Connections that are slow, idle or too many keep nobody else out."""

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from api_service import ApiService, StatusServer, api_settings, serving, write_cards
from redis_fixture import RedisServer

from metseg_api import connections

UPLOAD = (
    b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 1000\r\n\r\n"
)
CLOSED_WITHIN_S = 30


@pytest.fixture
def narrow(tmp_path: Path, shared_redis: RedisServer, own_status_server: StatusServer) -> Iterator[ApiService]:
    """An API that has at most 16 connections."""
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    serving_at = own_status_server.target
    settings = api_settings(tmp_path, redis_url=shared_redis.url, serving_at=serving_at, max_connections=16)
    with serving(settings) as running:
        yield running


def connect(api: ApiService) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", api.settings.api_port), timeout=CLOSED_WITHIN_S)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def is_closed(line: socket.socket) -> bool:
    """Read until the other side closes; False where it does not in time."""
    try:
        while line.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def trickled_until_closed(line: socket.socket, piece: bytes) -> bool:
    """Send a piece again and again, never letting the line rest, until the other side closes."""
    line.settimeout(0.1)
    until = time.monotonic() + CLOSED_WITHIN_S
    while time.monotonic() < until:
        try:
            line.sendall(piece)
            if line.recv(1 << 16) == b"":
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ", b"\r\n"])
def test_a_connection_without_a_request_is_closed(
    api: ApiService, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    with connect(api) as line:
        line.sendall(sent)
        assert is_closed(line)


def test_a_head_that_never_ends_is_cut_off(api: ApiService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 1.0)
    with connect(api) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert trickled_until_closed(line, b"X-A: 1\r\n")


def test_a_body_that_nobody_reads_is_cut_off(api: ApiService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 1.0)
    with connect(api) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n\r\n")
        assert line.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert trickled_until_closed(line, b"x")


def test_the_deadline_ends_with_the_head_and_is_new_for_each_request(
    api: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 4.0)
    with connect(api) as line:
        for _ in range(3):
            line.sendall(b"GET /healthz HTTP/1.1\r\n")
            time.sleep(1.5)
            line.sendall(b"Host: 127.0.0.1\r\n\r\n")
            got = line.recv(1 << 16)
            while not got.endswith(b'{"status":"ok"}'):
                more = line.recv(1 << 16)
                assert more, "the connection was closed"
                got += more


def test_an_answer_that_nobody_takes_is_given_up(
    api: ApiService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections, "STALL_S", 0.5)
    caplog.set_level(logging.INFO, "metseg_api.middleware")
    job_id = api.submitted()
    api.succeed(job_id, {"mask.nii.gz": bytes(32 << 20)}, tmp_path)
    request = f"GET /v1/jobs/{job_id}/result/mask.nii.gz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        line.connect(("127.0.0.1", api.settings.api_port))
        line.sendall(request.encode())

        def was_given_up() -> bool:
            routes = [getattr(record, "route", None) for record in caplog.records]
            return "/v1/jobs/{job_id}/result/{artefact}" in routes

        _wait_for(was_given_up, "the answer to be given up")


def test_the_longest_idle_connection_makes_room_and_none_that_is_at_work(narrow: ApiService) -> None:
    with ExitStack() as stack:
        busy = stack.enter_context(connect(narrow))
        busy.sendall(UPLOAD)
        _wait_for(lambda: len(narrow.server.server_state.tasks) == 1, "the upload to begin")
        idle = [stack.enter_context(connect(narrow)) for _ in range(40)]
        assert is_closed(idle[0])
        assert narrow.http.get("/healthz").status_code == 200
        assert len(narrow.server.server_state.connections) <= 16
        busy.settimeout(0.5)
        with pytest.raises(TimeoutError):
            busy.recv(1)


def _wait_for(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + CLOSED_WITHIN_S
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.05)
