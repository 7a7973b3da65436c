"""Redis for the local stack: append-only, on loopback, nothing evicted."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.local.settings import StackSettings


class RedisMissingError(RuntimeError):
    """No Redis server is on this machine."""


def find_redis() -> Path:
    """The machine's own `redis-server`, else the one that `make install` put beside this Python.

    Raises:
        RedisMissingError: There is neither.
    """
    scripts = str(Path(sys.executable).parent)
    found = shutil.which("redis-server") or shutil.which("redis-server", path=scripts)
    if found is None:
        raise RedisMissingError("No redis-server found. `make install` fetches one; so does your package manager.")
    return Path(found)


def redis_command(binary: Path, port: int, folder: Path) -> Sequence[str]:
    """The command line of a Redis that keeps its queue in `folder` through a restart."""
    return [
        str(binary), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder),
        "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
        "--maxmemory-policy", "noeviction", "--daemonize", "no",
    ]  # fmt: skip


def main() -> int:
    """Become the Redis server."""
    settings = StackSettings.read()
    folder = settings.run_folder / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        command = redis_command(find_redis(), settings.redis_port, folder)
    except RedisMissingError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    os.execv(command[0], list(command))


if __name__ == "__main__":
    sys.exit(main())
