"""seccomp: a process gives up the system calls that it does not need, by the C library libseccomp.

What is refused is listed, and not what is allowed: which calls imaging libraries make differs from one C library,
architecture and version to the next.
"""

import ctypes
import errno
import os
from typing import Final

LIBRARY: Final = "libseccomp.so.2"
ALLOW: Final = 0x7FFF0000
REFUSE: Final = 0x00050000  # with the error's number in the lower 16 bits
CLONE_THREAD: Final = 0x10000  # linux/sched.h
NOT_EQUAL, MASKED_EQUAL = 1, 7  # enum scmp_compare

REFUSED: Final = (
    # the network, and what would get round the filter
    *("socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "io_uring_setup"),
    # other programs and processes
    *("execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise"),
    *("kcmp", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "tkill"),
    *("shmget", "shmat", "msgget", "semget", "mq_open", "keyctl", "add_key", "request_key"),
    # what Landlock leaves of other files: owner, mode, times and attributes
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "utime", "utimes"),
    *("futimesat", "utimensat", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr"),
    *("fremovexattr", "mknod", "mknodat", "name_to_handle_at", "open_by_handle_at", "fanotify_init"),
    # the kernel itself, for a worker that runs as root
    *("mount", "umount2", "move_mount", "open_tree", "fsopen", "fsmount", "pivot_root", "chroot", "unshare"),
    *("setns", "bpf", "perf_event_open", "userfaultfd", "init_module", "finit_module", "delete_module"),
    *("kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "acct", "quotactl", "iopl", "ioperm"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname", "syslog"),
)
OWN_PROCESS_ALONE: Final = ("kill", "tgkill")
"""Calls that name a process by their first argument; a process may stop itself, as `abort` does."""


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("kind", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("other", ctypes.c_uint64),
    )


def is_there() -> bool:
    """Whether the library can be loaded."""
    return _library() is not None


def refuse_calls() -> bool:
    """Let the calls of `REFUSED` fail in this process from now on; its threads may still be started.

    Returns:
        False where the library is not there, or the kernel refuses filters, so that nothing has changed.
    """
    library = _library()
    if library is None:
        return False
    context = library.seccomp_init(ctypes.c_uint32(ALLOW))
    if not context:
        return False
    try:
        for name in REFUSED:
            _refuse(library, context, name, errno.EPERM)
        # glibc falls back to clone, whose flags can be looked at
        _refuse(library, context, "clone3", errno.ENOSYS)
        _refuse(library, context, "clone", errno.EPERM, _Comparison(0, MASKED_EQUAL, CLONE_THREAD, 0))
        for name in OWN_PROCESS_ALONE:
            _refuse(library, context, name, errno.EPERM, _Comparison(0, NOT_EQUAL, os.getpid(), 0))
        _refuse(library, context, "prlimit64", errno.EPERM, _Comparison(0, NOT_EQUAL, 0, 0))  # 0 is itself
        return bool(library.seccomp_load(context) == 0)
    finally:
        library.seccomp_release(context)


def _refuse(library: ctypes.CDLL, context: int, name: str, error: int, *comparisons: _Comparison) -> None:
    """Let a call fail with an error, where all comparisons of its arguments hold."""
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number < 0:  # the library is older than the call, or the architecture has none
        return
    compared = (_Comparison * len(comparisons))(*comparisons)
    result = library.seccomp_rule_add_array(context, REFUSE | error, number, len(comparisons), compared)
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add_array.argtypes = (
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint),
        ctypes.c_void_p,
    )
    library.seccomp_load.argtypes = library.seccomp_release.argtypes = (ctypes.c_void_p,)
    return library
