"""Tells a container engine whether the worker is at work: `python -m metseg_worker.healthcheck`.

What counts is that the worker of this host beats in Redis. A process that lives but takes no jobs is not healthy,
nor is one that cannot reach its queue.
"""

import socket
import sys
from contextlib import closing

from metseg.errors import MetsegError
from metseg.queue.statistics import WaitingLine
from metseg_worker.settings import WorkerSettings


def main() -> int:
    """0 when a worker of this host beats; 1, with a line that says why, when none does."""
    try:
        with closing(WaitingLine(WorkerSettings.from_env().redis_url)) as line:
            beats = line.beats_on(socket.gethostname())
    except MetsegError as exc:
        sys.stderr.write(f"metseg-worker: {exc}\n")
        return 1
    if not beats:
        sys.stderr.write("metseg-worker: no worker of this host beats\n")
    return 0 if beats else 1


if __name__ == "__main__":
    sys.exit(main())
