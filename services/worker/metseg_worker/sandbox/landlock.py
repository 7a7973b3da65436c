"""Landlock: a process gives up the files, TCP ports and processes that it does not need (Linux, landlock(7)).

Only what is used here of the kernel's interface (linux/landlock.h). Rights that a kernel does not know yet stay as
they were; the numbers of its three calls are the same on every architecture.
"""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION: Final = 1
RULE_PATH_BENEATH: Final = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = (1 << bit for bit in range(13, 16))
FILE_RIGHTS: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ: Final = READ_FILE | READ_DIR
WRITE: Final = READ | WRITE_FILE | TRUNCATE | MAKE_REG | MAKE_DIR | REMOVE_FILE | REMOVE_DIR
"""No links: by one, the parent could be led to a file that the child cannot read."""
BITS_OF_FILES: Final = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many rights of files each version of the interface knows; 16 from the fifth on."""
BITS_OF_TCP: Final = 2
BITS_OF_SCOPES: Final = 2
"""Abstract sockets and signals of processes outside."""
TCP_SINCE, SCOPES_SINCE = 4, 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """Return the version of Landlock that this kernel offers; 0 where there is none or a container forbids it."""
    try:
        return _call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(CREATE_RULESET_VERSION))
    except OSError:
        return 0


def restrict(reads: Iterable[Path], writes: Iterable[Path]) -> bool:
    """Let this process read and write below some folders, and reach no other file, TCP port or process.

    No program can be started any more, and no other process be traced. It must have given up new privileges.

    Args:
        reads: Folders or files that it may read; those that do not exist are left out.
        writes: Folders in which it may do anything but make links.

    Returns:
        False where this kernel offers no Landlock, so that nothing has changed.

    Raises:
        OSError: The kernel offers Landlock but refused a call.
    """
    known = version()
    if known < 1:
        return False
    handled = (1 << BITS_OF_FILES.get(known, 16)) - 1
    tcp = (1 << BITS_OF_TCP) - 1 if known >= TCP_SINCE else 0
    scoped = (1 << BITS_OF_SCOPES) - 1 if known >= SCOPES_SINCE else 0
    rules = _Ruleset(handled, tcp, scoped)
    size = 24 if scoped else 16 if tcp else 8  # older kernels know the first fields alone
    ruleset = _call(CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for paths, rights in ((reads, READ), (writes, WRITE)):
            for path in paths:
                _allow(ruleset, path, rights & handled)
        _call(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return True


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rule = _PathBeneath(rights if path.is_dir() else rights & FILE_RIGHTS, descriptor)
        _call(
            ADD_RULE,
            ctypes.c_int(ruleset),
            ctypes.c_int(RULE_PATH_BENEATH),
            ctypes.byref(rule),
            ctypes.c_uint32(0),
        )
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    result = int(library.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
