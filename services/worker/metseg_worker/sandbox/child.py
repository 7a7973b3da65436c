"""The confined process: `python -I -m metseg_worker.sandbox.child MODULE ALLOWED`.

It gives up what its work does not need before it loads the module, says that it is loaded, does the work once it
is told, and answers how it went.
"""

import ctypes
import importlib
import json
import resource
import signal
import sys
from pathlib import Path
from typing import Final

from metseg_worker.sandbox import restrictions
from metseg_worker.sandbox.answer import LOADED, Answer, answer_of, fault_of
from metseg_worker.sandbox.parent import ChildLimits

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def main() -> None:
    """Load a module, call its `main` with what stands on standard input, and answer on standard output."""
    name, given = sys.argv[1:]
    allowed = json.loads(given)
    confine(ChildLimits(*allowed["limits"]))
    restrictions.enter([Path(path) for path in allowed["reads"]], [Path.cwd()])
    sys.stdout.write(_work(name).model_dump_json(exclude_defaults=True))


def _work(name: str) -> Answer:
    """Whatever is raised is answered (hence BLE001): the parent judges whose fault it is."""
    try:
        work = importlib.import_module(name).main
    except Exception as exc:  # noqa: BLE001
        return Answer(fault=fault_of(exc))
    sys.stdout.buffer.write(LOADED)
    sys.stdout.buffer.flush()
    try:
        work(json.load(sys.stdin))
    except Exception as exc:  # noqa: BLE001
        return answer_of(exc)
    return Answer()


def confine(limits: ChildLimits) -> None:
    """Bound what the work uses, and die with the worker."""
    for what, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _soft, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
