"""Resident memory of an idle api and an idle worker: `python -m benchmarks.memory`."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from deploy.local.ports import free_port
from deploy.local.redis_server import find_redis, redis_command
from deploy.local.settings import ROOT, StackSettings

AIM_MIB = 150
SETTLED_AFTER_S = 5.0
GIVE_UP_AFTER_S = 60.0


def main() -> int:
    """Start Redis, api and worker, wait until they hold still, print what they hold."""
    with tempfile.TemporaryDirectory() as folder:
        settings = StackSettings(
            api_port=free_port(), redis_port=free_port(), store=f"{folder}/store", run=Path(folder)
        )
        redis = redis_command(find_redis(), settings.redis_port, Path(folder))
        commands = {"redis": redis, "api": ["metseg-api"], "worker": ["metseg-worker"]}
        environ = settings.service_environment(os.environ)
        running: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for name, command in commands.items():
                running[name] = subprocess.Popen(
                    command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                time.sleep(0.5)
            for name in ("api", "worker"):
                held = settled_mib(psutil.Process(running[name].pid))
                sys.stdout.write(f"{name:8} {held:6.1f} MiB resident when idle (aim: at most {AIM_MIB})\n")
        finally:
            for process in reversed(running.values()):
                process.terminate()
                process.wait(timeout=20)
    return 0


def settled_mib(process: psutil.Process) -> float:
    """Resident memory of a process and its children, once it has not changed for some seconds.

    Raises:
        TimeoutError: It went on changing.
    """
    give_up = time.monotonic() + GIVE_UP_AFTER_S
    held, since = 0.0, time.monotonic()
    while time.monotonic() - since < SETTLED_AFTER_S:
        family = [process, *process.children(recursive=True)]
        now = sum(member.memory_info().rss for member in family) / 2**20
        if abs(now - held) > 1:
            held, since = now, time.monotonic()
        if time.monotonic() > give_up:
            raise TimeoutError(f"{process.name()} did not come to rest within {GIVE_UP_AFTER_S:.0f} s")
        time.sleep(0.25)
    return held


if __name__ == "__main__":
    sys.exit(main())
