"""The stack's start and stop, with small programs in the services' place."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from deploy.local.ports import PortError, free_port
from deploy.local.settings import StackSettings
from deploy.local.stack import StackError, StackProcess, log_tail, main, read_record, start, stop

ANSWERING = """
import http.server, os, sys
class Yes(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ[sys.argv[1]])), Yes).serve_forever()
"""
# A job in flight: a child in a session of its own that ignores being asked to end.
WITH_A_STUBBORN_CHILD = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(600)
"""


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    ports = [free_port() for _ in range(5)]
    return StackSettings(
        run=tmp_path / "run",
        api_port=ports[0],
        ui_port=ports[1],
        serving_port=ports[2],
        serving_rest_port=ports[3],
        redis_port=ports[4],
    )


def procfile(folder: Path, **programs: str) -> Path:
    """A Procfile of Python programs, each given as its text and what follows."""
    lines = []
    for name, text in programs.items():
        program, _, argument = text.partition("#argument ")
        (folder / f"{name}.py").write_text(program)
        lines.append(f"{name}: exec {sys.executable} {folder / f'{name}.py'} {argument}")
    place = folder / "Procfile"
    place.write_text("\n".join(lines) + "\n")
    return place


@pytest.fixture
def answering(tmp_path: Path) -> Path:
    return procfile(
        tmp_path,
        api=ANSWERING + "#argument METSEG_API_PORT",
        ui=ANSWERING + "#argument METSEG_UI_PORT",
        worker=WITH_A_STUBBORN_CHILD,
    )


def test_stop_ends_every_process_even_one_that_left_the_group(settings: StackSettings, answering: Path) -> None:
    record = start(settings, os.environ, procfile=answering, within_s=20)
    members = list(record.processes())
    assert len(members) >= 5
    assert stop(settings, within_s=2)
    assert [process for process in members if process.is_running()] == []
    assert read_record(settings) is None


def test_a_second_start_is_refused_and_leaves_the_first_alone(settings: StackSettings, answering: Path) -> None:
    record = start(settings, os.environ, procfile=answering, within_s=20)
    try:
        with pytest.raises(StackError, match="running already"):
            start(settings, os.environ, procfile=answering)
        assert record.is_running()
    finally:
        stop(settings, within_s=2)


def test_what_a_killed_supervisor_left_behind_is_still_ended(settings: StackSettings, answering: Path) -> None:
    record = start(settings, os.environ, procfile=answering, within_s=20)
    members = list(record.processes())
    os.kill(record.supervisor.pid, signal.SIGKILL)
    time.sleep(0.2)
    assert not record.is_running()
    assert stop(settings, within_s=2)
    assert [process for process in members if process.is_running() and process.status() != "zombie"] == []


def test_a_taken_port_is_told_before_anything_starts(settings: StackSettings, answering: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", settings.redis_port)),
        pytest.raises(PortError, match="METSEG_REDIS_PORT"),
    ):
        start(settings, os.environ, procfile=answering)
    assert not settings.run_folder.exists()


def test_a_service_that_ends_shows_its_last_words(settings: StackSettings, tmp_path: Path) -> None:
    failing = procfile(tmp_path, api="raise SystemExit('no store here')\n")
    with pytest.raises(StackError, match="no store here"):
        start(settings, os.environ, procfile=failing, within_s=20)
    assert read_record(settings) is None


def test_a_stack_that_never_gets_ready_is_ended_and_says_who_was_silent(
    settings: StackSettings, tmp_path: Path
) -> None:
    silent = procfile(tmp_path, api=ANSWERING + "#argument METSEG_API_PORT", ui="import time; time.sleep(600)\n")
    with pytest.raises(StackError, match=f"no answer from {settings.page_url}"):
        start(settings, os.environ, procfile=silent, within_s=3)
    assert read_record(settings) is None


def test_of_a_long_log_the_lines_of_the_service_that_ended_are_shown(tmp_path: Path) -> None:
    log = tmp_path / "stack.log"
    told = ["1 serving.1 | no model", *["2 api.1     | chatter"] * 50, "3 system    | serving.1 stopped (rc=1)"]
    log.write_text("\n".join(told))
    assert log_tail(log).splitlines() == ["1 serving.1 | no model", "3 system    | serving.1 stopped (rc=1)"]


def test_a_process_that_got_the_id_of_another_is_not_taken_for_it() -> None:
    own = psutil.Process()
    assert StackProcess(pid=own.pid, started=own.create_time()).living() is not None
    assert StackProcess(pid=own.pid, started=own.create_time() - 60).living() is None


def test_stopping_nothing_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METSEG_RUN", str(tmp_path))
    assert main(["stop"]) == 0
    assert "No stack is running" in capsys.readouterr().out


def test_a_taken_port_ends_the_program_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("METSEG_RUN", str(tmp_path))
        monkeypatch.setenv("METSEG_API_PORT", str(taken.getsockname()[1]))
        assert main(["start"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert "METSEG_API_PORT" in errors[0]
