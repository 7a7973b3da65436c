"""What a confined process gives up besides time and memory: files, the network, other processes.

A hostile file that takes over its decoder finds itself with the worker's user id. By Landlock it then sees the
code, what it was given and the folder it works in; by seccomp it has no network, starts no program or process, and
touches no other process. Both work without privileges, also in a container that has none; a host that lacks one of
them leaves the child what docs/security.md says.
"""

import ctypes
import logging
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from metseg_worker.sandbox import landlock, seccomp

logger = logging.getLogger(__name__)

PR_SET_NO_NEW_PRIVS: Final = 38  # linux/prctl.h
SYSTEM: Final = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"),
    *("/usr/share/zoneinfo", "/etc/localtime", "/dev/null", "/dev/urandom", "/sys/devices/system/cpu"),
)
"""What the interpreter and native libraries read, none of it a secret."""


def enter(reads: Sequence[Path], writes: Sequence[Path]) -> None:
    """Give up what this kernel lets a process give up; there is no way back.

    Args:
        reads: Folders that may be read, besides the program's own code.
        writes: Folders that may be read and written.

    Raises:
        OSError: The kernel offers a means and then refuses it.
    """
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    landlock.restrict([*_code(), *reads], writes)
    seccomp.refuse_calls()


def report() -> None:
    """Log once by what this host confines a process, and warn of what it lacks."""
    logger.info("processes that read files are confined", extra={"sandbox": means()})
    if missing():
        logger.warning("this host cannot confine them wholly, see docs/security.md", extra={"missing": missing()})


def means() -> list[str]:
    """Return what this host confines a process by, besides limits."""
    version = landlock.version()
    found = [f"Landlock {version}"] if version else []
    return [*found, "seccomp"] if seccomp.is_there() else found


def missing() -> list[str]:
    """Return what this host lacks."""
    lacking = [] if landlock.version() else ["Landlock"]
    return lacking if seccomp.is_there() else [*lacking, "seccomp"]


def _code() -> list[Path]:
    """Where modules and libraries lie."""
    paths = {name: sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return [Path(path) for path in dict.fromkeys([*SYSTEM, *paths.values(), *filter(None, sys.path)])]
