"""What a decoder that was taken over might try; run as a program, or loaded as the module of a confined process.

Each attack returns if it got through. Only the standard library is used, so that it runs anywhere.
"""

import contextlib
import ctypes
import errno
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

REFUSALS = {errno.EPERM, errno.EACCES, errno.EXDEV, errno.ENOSYS, errno.EAGAIN}
TARGET = json.loads((Path(__file__).parent / "target.json").read_text())
"""Where the secrets are: `secret`, `folder`, `outside`, `tcp`, `unix`, `pid`."""
LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, PTRACE_DETACH, CLONE_NEWUSER, PR_GET_NO_NEW_PRIVS = 0x4206, 17, 0x10000000, 39
SYS_IO_URING_SETUP = 425


def call(function: Callable[..., int], *arguments: Any) -> int:
    ctypes.set_errno(0)
    result = function(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def start_a_shell() -> None:
    subprocess.run(["/bin/sh", "-c", "exit 0"], check=True)


def fork() -> None:
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)


def become_a_shell_later() -> None:
    """Make a program of its own in the folder where it may write."""
    Path("program").write_bytes(Path(TARGET["program"]).read_bytes())
    os.chmod("program", 0o700)
    subprocess.run(["./program"], check=True)


def read_memory() -> None:
    with Path(f"/proc/{TARGET['pid']}/mem").open("rb"):
        pass


def trace() -> None:
    call(LIBC.ptrace, PTRACE_SEIZE, TARGET["pid"], None, None)
    LIBC.ptrace(PTRACE_DETACH, TARGET["pid"], None, None)


def copy_memory() -> None:
    """Ask for no bytes, for which access is checked all the same."""
    here, there = (ctypes.c_uint64 * 2)(), (ctypes.c_uint64 * 2)(TARGET["address"], 1)
    buffer = ctypes.create_string_buffer(1)
    here[0], here[1] = ctypes.addressof(buffer), 1
    with_error = call(LIBC.process_vm_readv, TARGET["pid"], here, 1, there, 1, 0)
    del with_error


def connect(family: int, kind: int, address: Any) -> Callable[[], None]:
    def attack() -> None:
        with socket.socket(family, kind) as one:
            one.connect(address)

    return attack


def start_an_io_uring() -> None:
    os.close(call(LIBC.syscall, SYS_IO_URING_SETUP, 1, ctypes.create_string_buffer(120)))


def gain_privileges() -> None:
    if LIBC.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1:
        raise PermissionError(errno.EPERM, "no program could give any")


def link(kind: Callable[[str, str], None]) -> Callable[[], None]:
    return lambda: kind(TARGET["secret"], f"link by {kind.__name__}")


def start_many_processes() -> None:
    if resource.getrlimit(resource.RLIMIT_NPROC)[1] == 0:
        raise PermissionError(errno.EAGAIN, "none may be started")


SECRET, OUTSIDE = Path(TARGET["secret"]), Path(TARGET["outside"])
FILES: dict[str, Callable[[], object]] = {
    "read another job's input": SECRET.read_bytes,
    "list the jobs": lambda: os.listdir(TARGET["folder"]),
    "write into another job": lambda: OUTSIDE.write_text("mine"),
    "append to a file": lambda: SECRET.open("ab").close(),
    "delete a file": lambda: Path(TARGET["doomed"]).unlink(),
    "cut a file off": lambda: os.truncate(TARGET["doomed_later"], 0),
    "put a symbolic link into the results": link(os.symlink),
    "put a hard link into the results": link(os.link),
    "read the environment of a process": Path(f"/proc/{TARGET['pid']}/environ").read_bytes,
    "read the memory of a process": read_memory,
}
"""What Landlock stands against."""
CALLS: dict[str, Callable[[], object]] = {
    "change a file's mode": lambda: os.chmod(TARGET["secret"], 0o666),
    "change a file's times": lambda: os.utime(TARGET["secret"]),
    "start a shell": start_a_shell,
    "start its own program": become_a_shell_later,
    "fork": fork,
    "speak to Redis": connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", TARGET["tcp"])),
    "speak UDP": connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", TARGET["tcp"])),
    "speak to a socket in a folder": connect(socket.AF_UNIX, socket.SOCK_STREAM, TARGET["unix"]),
    "speak to a socket without a folder": connect(socket.AF_UNIX, socket.SOCK_STREAM, TARGET["abstract"]),
    "start an io_uring": start_an_io_uring,
    "trace a process": trace,
    "copy from the memory of a process": copy_memory,
    "signal a process": lambda: os.kill(TARGET["pid"], 0),
    "limit a process": lambda: resource.prlimit(TARGET["pid"], resource.RLIMIT_CORE),
    "become root in a namespace of its own": lambda: call(LIBC.unshare, CLONE_NEWUSER),
}
"""What seccomp stands against."""
ALWAYS: dict[str, Callable[[], object]] = {
    "gain privileges": gain_privileges,
    "start many processes": start_many_processes,
}


def tried(attack: Callable[[], object]) -> str:
    try:
        attack()
    except OSError as exc:
        return "refused" if exc.errno in REFUSALS else f"failed by {errno.errorcode.get(exc.errno or 0)}"
    return "got through"


def main(_given: dict[str, Any]) -> None:
    """Try everything, and tell in a file of its own folder; threads must work all the same."""
    thread = threading.Thread(target=lambda: None)
    with contextlib.suppress(RuntimeError):  # as root none is refused
        thread.start()
        thread.join()
    told = {name: tried(attack) for name, attack in (FILES | CALLS | ALWAYS).items()}
    for name in ("link by symlink", "link by link"):
        with contextlib.suppress(OSError):
            Path(name).unlink()
    Path("told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    main({})
