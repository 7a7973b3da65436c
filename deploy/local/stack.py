"""Start and stop the whole stack in the background: `python -m deploy.local.stack start | stop`."""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.request import ProxyHandler, build_opener

import psutil
from pydantic import BaseModel, ConfigDict

from deploy.local.ports import PortError, check_ports
from deploy.local.settings import ROOT, StackSettings, merged_environment
from metseg.errors import SettingsError

PROCFILE: Final = ROOT / "Procfile"
READY_WITHIN_S: Final = 120.0
STOP_WITHIN_S: Final = 7.0  # honcho itself kills after five
LEFT_BEHIND_FOR_S: Final = 1.0
LOG_LINES_SHOWN: Final = 30


class StackError(RuntimeError):
    """The stack cannot be started; the message says why and what to do."""


class StackProcess(BaseModel):
    """One process of the stack. Its start time tells it from a later one that got the same id."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float

    def living(self) -> psutil.Process | None:
        """The process, or None once it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = process.create_time() == self.started and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if same else None


class StackRecord(BaseModel):
    """What `start` leaves for `stop`."""

    model_config = ConfigDict(frozen=True)

    supervisor: StackProcess
    services: tuple[StackProcess, ...] = ()
    page_url: str
    api_url: str

    def is_running(self) -> bool:
        """Whether the stack's supervisor lives."""
        return self.supervisor.living() is not None

    def processes(self) -> Iterator[psutil.Process]:
        """Every living process of the stack, the supervisor first."""
        seen: set[int] = set()
        for recorded in (self.supervisor, *self.services):
            process = recorded.living()
            if process is not None:
                for member in (process, *_children(process)):
                    if member.pid not in seen:
                        seen.add(member.pid)
                        yield member


def read_record(settings: StackSettings) -> StackRecord | None:
    """The record of the stack that was started last and not stopped, if there is one."""
    place = _record_file(settings)
    return StackRecord.model_validate_json(place.read_bytes()) if place.is_file() else None


def start(
    settings: StackSettings,
    environ: Mapping[str, str],
    *,
    procfile: Path = PROCFILE,
    within_s: float = READY_WITHIN_S,
) -> StackRecord:
    """Start every service and return when the API says it is ready and the UI answers.

    Args:
        settings: Ports and places.
        environ: What the services get on top of these.
        procfile: The services, one a line.
        within_s: Longest wait for the stack to be ready.

    Raises:
        StackError: A stack runs already, or this one did not get ready; nothing is left running then.
        PortError: A port is taken; nothing was started.
    """
    running = read_record(settings)
    if running is not None and running.is_running():
        raise StackError(f"A stack is running already, its page is {running.page_url} (`make stop` ends it).")
    check_ports(settings.ports(), settings.host)
    settings.run_folder.mkdir(parents=True, exist_ok=True)
    supervisor = _launch(settings, environ, procfile)
    record = StackRecord(
        supervisor=_stack_process(psutil.Process(supervisor.pid)),
        page_url=settings.page_url,
        api_url=settings.api_url,
    )
    _write_record(settings, record)
    try:
        _wait_until_ready(settings, supervisor, within_s)
    except BaseException:
        stop(settings)
        raise
    finally:
        supervisor.returncode = supervisor.poll() or 0  # it may outlive us: Popen need not warn of that
    services = [child for child in _children(psutil.Process(supervisor.pid)) if child.is_running()]
    record = record.model_copy(update={"services": tuple(map(_stack_process, services))})
    _write_record(settings, record)
    return record


def stop(settings: StackSettings, *, within_s: float = STOP_WITHIN_S) -> bool:
    """End the recorded stack, first by asking; False when none was running."""
    record = read_record(settings)
    if record is None:
        return False
    members = list(record.processes())
    supervisor = record.supervisor.living()
    for process in [supervisor] if supervisor is not None else members:
        process.terminate()
    psutil.wait_procs([supervisor] if supervisor is not None else members, timeout=within_s)
    _, left = psutil.wait_procs(members, timeout=LEFT_BEHIND_FOR_S)
    for process in left:
        with suppress(psutil.NoSuchProcess):  # it ended just now
            process.kill()
    psutil.wait_procs(left, timeout=within_s)
    _record_file(settings).unlink(missing_ok=True)
    return bool(members)


def log_tail(log_file: Path, lines: int = LOG_LINES_SHOWN) -> str:
    """The last lines of the stack's log; of the first service that ended, where one did."""
    text = log_file.read_text(encoding="utf-8", errors="replace") if log_file.is_file() else ""
    told = [line for line in text.splitlines() if "/readyz" not in line]  # those are our own questions
    ended = re.search(r"system +\| (\S+) stopped \(rc=", text)
    if ended is not None:
        told = [line for line in told if re.search(rf" {re.escape(ended[1])} ", line)]
    return "\n".join(told[-lines:])


def answers(url: str) -> bool:
    """Whether a GET of `url` is answered with 200."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except (OSError, HTTPException):
        return False


def _launch(settings: StackSettings, environ: Mapping[str, str], procfile: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "honcho", "start", "--no-colour", "-f", str(procfile)]
    with settings.log_file.open("wb") as log:
        return subprocess.Popen(
            [*command, "-e", os.devnull],
            cwd=ROOT,
            env=settings.service_environment(environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_ready(settings: StackSettings, supervisor: subprocess.Popen[bytes], within_s: float) -> None:
    probes = [f"{settings.api_url}/readyz", f"{settings.page_url}/_stcore/health"]
    deadline = time.monotonic() + within_s
    while probes:
        if supervisor.poll() is not None:
            raise StackError(f"A service ended while starting.\n{log_tail(settings.log_file)}")
        if time.monotonic() > deadline:
            raise StackError(
                f"Not ready after {within_s:.0f} s: no answer from {', '.join(probes)}.\n"
                f"{log_tail(settings.log_file)}"
            )
        probes = [url for url in probes if not answers(url)]
        time.sleep(0.2)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _stack_process(process: psutil.Process) -> StackProcess:
    return StackProcess(pid=process.pid, started=process.create_time())


def _record_file(settings: StackSettings) -> Path:
    return settings.run_folder / "stack.json"


def _write_record(settings: StackSettings, record: StackRecord) -> None:
    _record_file(settings).write_text(record.model_dump_json(indent=2), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `start` or `stop`; 0 when it did what was asked."""
    parser = argparse.ArgumentParser(prog="stack", description="The local stack, in the background.")
    parser.add_argument("action", choices=["start", "stop"])
    action = parser.parse_args(arguments).action
    try:
        settings = StackSettings.read()
        if action == "stop":
            sys.stdout.write("Stopped.\n" if stop(settings) else "No stack is running here.\n")
            return 0
        record = start(settings, merged_environment())
    except (StackError, PortError, SettingsError) as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    sys.stdout.write(f"Ready. Page {record.page_url}, API {record.api_url}, log {settings.log_file}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
