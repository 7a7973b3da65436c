"""The deployment as an operator has it: Compose commands on the repository's own files, under its own name."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest

from deploy.local.ports import free_port
from deploy.local.settings import ROOT

FILES: Final = ("docker-compose.yml", "compose.cpu.yaml", "compose.standin.yaml")
SERVICES: Final = ("redis", "serving", "api", "worker", "ui")
READY_WITHIN_S: Final = 600
BACK_WITHIN_S: Final = 120
KILL_MAIN: Final = "kill -9 $(cat /proc/1/task/1/children)"
"""From inside: the engine takes the end of `docker kill` for a wanted one and starts nothing again."""


class Deployment:
    """A Compose project on free ports.

    Attributes:
        timings_s: How long each step took, in seconds.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.project = f"metseg-test-{os.getpid()}"
        self.api_port, self.ui_port = free_port(), free_port()
        self.timings_s: dict[str, float] = {}
        self.environ = {
            **environ,
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_FILE": ":".join(FILES),
            "COMPOSE_ENV_FILES": os.devnull,  # no `.env` of a developer is read
            "COMPOSE_ANSI": "never",
            "COMPOSE_PROGRESS": "quiet",
            "METSEG_API_PORT": str(self.api_port),
            "METSEG_UI_PORT": str(self.ui_port),
            "METSEG_PREDICT_TIMEOUT_S": "240",  # a busy machine is no failure
            "SERVING_CPUS": str(os.cpu_count() or 1),
            "TAG": environ.get("TAG", "test"),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5")

    @property
    def api_url(self) -> str:
        """The published address of the API."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def page_url(self) -> str:
        """The published address of the page."""
        return f"http://127.0.0.1:{self.ui_port}"

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Note how long a step takes."""
        began = time.monotonic()
        yield
        self.timings_s[step] = time.monotonic() - began

    def docker(self, *arguments: str | Path, check: bool = True) -> str:
        """What a `docker` command writes; the test fails with its complaint where it fails."""
        result = subprocess.run(
            ["docker", *arguments], cwd=ROOT, env=self.environ, capture_output=True, text=True, check=False
        )
        if check and result.returncode:
            pytest.fail(
                f"docker {' '.join(map(str, arguments))}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
            )
        return result.stdout

    def compose(self, *arguments: str | Path) -> str:
        """What a `docker compose` command writes."""
        return self.docker("compose", *arguments)

    def shell(self, commands: str, folder: Path) -> str:
        """What the lines of a guide write, run in a folder from which Compose finds its files."""
        files = {"COMPOSE_FILE": ":".join(str(ROOT / name) for name in FILES)}
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=folder,
            env={**self.environ, **files},
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            pytest.fail(f"{commands}\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}")
        return ran.stdout

    def up(self, *arguments: str) -> None:
        """Start everything and wait until it is healthy; fails with the logs where it is not."""
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout", str(READY_WITHIN_S), *arguments)
        except BaseException:
            print(self.compose("ps", "--all"), self.compose("logs", "--tail", "25"))  # noqa: T201
            raise

    def containers(self, service: str) -> list[str]:
        """Ids of a service's running containers."""
        return self.compose("ps", "--quiet", service).split()

    def inspect(self, container: str) -> Any:
        """All that the engine knows of a container."""
        (found,) = json.loads(self.docker("inspect", container))
        return found

    def run_in(self, container: str, *command: str) -> str:
        """What a command writes inside a container."""
        return self.docker("exec", container, *command)

    def started_at(self, container: str) -> str:
        """When the engine started a container last."""
        return str(self.inspect(container)["State"]["StartedAt"])

    def kill(self, container: str) -> None:
        """End a container's main process as a crash would, and wait until the engine has started it again."""
        before = self.started_at(container)
        self.docker("exec", container, "sh", "-c", KILL_MAIN, check=False)
        deadline = time.monotonic() + BACK_WITHIN_S
        while self.started_at(container) == before or not self.inspect(container)["State"]["Running"]:
            if time.monotonic() > deadline:
                pytest.fail(f"{container} was not started again: {self.inspect(container)['State']}")
            time.sleep(0.2)

    def wait_until_healthy(self, service: str) -> None:
        """Wait until every container of a service says that it does its work."""
        deadline = time.monotonic() + READY_WITHIN_S
        while any(self._health(container) != "healthy" for container in self.containers(service)):
            if time.monotonic() > deadline:
                pytest.fail(f"{service} is not healthy\n{self.compose('logs', '--tail', '25', service)}")
            time.sleep(0.5)

    def _health(self, container: str) -> str:
        return str(self.inspect(container)["State"]["Health"]["Status"])

    def copy_store(self, folder: Path) -> Path:
        """The blob store as it stands, in a folder that is made for it."""
        self.docker("cp", "--quiet", f"{self.containers('api')[0]}:/store", folder)
        return folder

    def leftovers(self) -> dict[str, list[str]]:
        """What the engine still has of this project."""
        label = f"label=com.docker.compose.project={self.project}"
        kinds = {"container": ["--all"], "network": [], "volume": []}
        return {
            kind: self.docker(kind, "ls", "--quiet", *more, "--filter", label).split()
            for kind, more in kinds.items()
        }
