import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from deploy.local import redis_server
from deploy.local.ports import free_port
from deploy.local.redis_server import RedisMissingError, find_redis, redis_command


def ask(port: int, command: bytes) -> bytes:
    """Send one command in Redis's inline form."""
    deadline = time.monotonic() + 10
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
                connection.sendall(command + b"\r\n")
                return connection.recv(4096)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Make a machine with nothing on it, where programs can be put into `bin` or beside Python."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(redis_server.sys, "executable", str(tmp_path / "venv" / "python"))

    def put(folder: str) -> Path:
        binary = tmp_path / folder / "redis-server"
        binary.parent.mkdir()
        binary.write_text("#!/bin/sh\n")
        binary.chmod(0o755)
        return binary

    return put


def test_the_machines_own_redis_comes_first(place: Callable[[str], Path]) -> None:
    place("venv")
    own = place("bin")
    assert find_redis() == own


def test_the_redis_beside_python_is_the_second_choice(place: Callable[[str], Path]) -> None:
    beside = place("venv")
    assert find_redis() == beside


def test_without_any_redis_the_message_says_what_to_do(place: Callable[[str], Path]) -> None:
    with pytest.raises(RedisMissingError, match="make install"):
        find_redis()


def test_redis_listens_on_loopback_alone_and_keeps_what_waits(tmp_path: Path) -> None:
    port = free_port()
    command = redis_command(find_redis(), port, tmp_path)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            assert ask(port, b"PING") == b"+PONG\r\n"
            assert b"noeviction" in ask(port, b"CONFIG GET maxmemory-policy")
            assert b"everysec" in ask(port, b"CONFIG GET appendfsync")
            assert b"yes" in ask(port, b"CONFIG GET appendonly")
            places = {listener.laddr.ip for listener in psutil.Process(server.pid).net_connections()}
            assert places == {"127.0.0.1"}
        finally:
            server.terminate()


def test_the_program_says_in_one_line_when_redis_is_missing(
    place: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("METSEG_RUN", str(tmp_path))
    assert redis_server.main() == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
