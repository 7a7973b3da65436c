"""The real services on free ports, each of which a test may stop and start again."""

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import pytest
from honcho.environ import parse_procfile

from deploy.local.ports import free_port
from deploy.local.settings import ROOT, StackSettings
from deploy.local.stack import PROCFILE, answers, log_tail

READY_WITHIN_S = 300.0


class LiveStack:
    """Every process of the Procfile, without a supervisor that ends them all when one ends."""

    def __init__(self, folder: Path, **environ: str) -> None:
        ports = {field: _unused_port() for field in _PORT_FIELDS}
        self.folder = folder
        models = Path(os.environ.get("METSEG_MODELS") or "models")
        self.settings = StackSettings(store=str(folder / "store"), run=folder / "run", models=models, **ports)
        keys = {"METSEG_KEYS": str(folder / "keys.json")}
        self._environ = self.settings.service_environment({**os.environ, **keys, **environ})
        self._commands: dict[str, str] = parse_procfile(PROCFILE.read_text()).processes
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        if not any((ROOT / self.settings.models).glob("*/*/saved_model.pb")):
            pytest.skip("no exported model: `make models` makes it from the shipped weights")
        try:
            for name in self._commands:
                self.start(name)
            self.wait_until_ready()
        except BaseException:
            self.stop(*self._commands)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(*reversed(self._commands))

    @property
    def api_url(self) -> str:
        """Address of the API."""
        return self.settings.api_url

    @property
    def page_url(self) -> str:
        """Address of the page."""
        return self.settings.page_url

    @property
    def store(self) -> Path:
        """Folder of the blob store."""
        return Path(self.settings.store)

    def start(self, name: str) -> None:
        """Start one service (`redis`, `serving`, `api`, `worker`, `ui`)."""
        with self._log_file(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                shlex.split(self._commands[name].removeprefix("exec ")),
                cwd=ROOT,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self, *names: str, sig: signal.Signals = signal.SIGTERM) -> None:
        """End services and everything they started; SIGKILL is a crash."""
        for name in names:
            process = self._running.pop(name, None)
            if process is None or process.poll() is not None:
                continue
            members = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(sig)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for member in members:
                if member.is_running():
                    member.kill()

    def processes(self) -> list[psutil.Process]:
        """Every process of the stack."""
        mains = [psutil.Process(process.pid) for process in self._running.values()]
        return [member for main in mains for member in (main, *main.children(recursive=True))]

    def wait_until_ready(self, within_s: float = READY_WITHIN_S) -> None:
        """Wait until the API is ready and the page answers; fails with the logs where they do not."""
        probes = [f"{self.api_url}/readyz", f"{self.page_url}/_stcore/health"]
        deadline = time.monotonic() + within_s
        while probes := [url for url in probes if not answers(url)]:
            ended = [name for name, process in self._running.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = "\n".join(f"--- {name}\n{self.log(name)}" for name in self._commands)
                pytest.fail(f"stack not ready: no answer from {probes}, ended: {ended}\n{logs}")
            time.sleep(0.2)

    def log(self, name: str, lines: int = 30) -> str:
        """The last lines that one service wrote."""
        return log_tail(self._log_file(name), lines)

    def _log_file(self, name: str) -> Path:
        self.settings.run_folder.mkdir(parents=True, exist_ok=True)
        return self.settings.run_folder / f"{name}.log"


_PORT_FIELDS = ("api_port", "ui_port", "serving_port", "serving_rest_port", "redis_port")
_given_ports: set[int] = set()


def _unused_port() -> int:
    while (port := free_port()) in _given_ports:
        pass
    _given_ports.add(port)
    return port
