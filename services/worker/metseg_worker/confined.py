"""Runs a module in a process of its own, under limits.

What a hostile file attacks is whoever reads it. That happens in a fresh Python process that has bounded memory,
time, file size and open files, next to no environment, and no more than what it is given and a folder to work in.
It can be started before it is known what it shall do, loads its code meanwhile, is told by one JSON object, and
answers with another, empty or an error; that it dies is an answer too.
"""

import ctypes
import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

from metseg.errors import DamagedInputError, InputError, InputTooLargeError
from metseg.jobs import FoundSeries
from metseg.series_errors import SeriesUnclearError

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
POLL_S: Final = 0.2
LARGEST_ANSWER_BYTES: Final = 1 << 16
ENVIRONMENT: Final = {"LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class ChildLimits:
    """What a confined process may use.

    Attributes:
        memory_bytes: Address space; a volume at `ReadLimits.max_voxels` takes about half of it.
        cpu_s: Processor time.
        wall_s: Time by the clock.
        file_bytes: Largest file it may write.
        open_files: File descriptors.
    """

    memory_bytes: int = 6 << 30
    cpu_s: int = 120
    wall_s: int = 240
    file_bytes: int = 2 << 30
    open_files: int = 64


USUAL: Final = ChildLimits()


class Confined:
    """A confined process that was started and waits to be told what to do."""

    def __init__(self, child: subprocess.Popen[bytes], wall_s: float) -> None:
        """Hold a process, which may take so long once it has been told."""
        self._child, self._wall_s = child, wall_s
        self._told_at = 0.0

    def tell(self, given: dict[str, Any]) -> None:
        """Let it do its work, once.

        Args:
            given: What it is told, in JSON.
        """
        self._told_at = time.monotonic()
        if self._child.stdin is not None:
            with suppress(BrokenPipeError), self._child.stdin as told:  # how it died says more
                told.write(json.dumps(given).encode())

    def wait(self, check: Callable[[], None]) -> None:
        """Wait for its answer.

        Args:
            check: Called a few times a second; what it raises ends the waiting.

        Raises:
            InputError: what it answered, or what its death tells.
            OSError: what this machine refused it.
        """
        status = self._status(check)
        said = self._child.stdout.read(LARGEST_ANSWER_BYTES) if self._child.stdout else b""
        if status != 0:
            raise _death(status)
        refusal = json.loads(said)
        if refusal:
            raise _refused(refusal)

    def _status(self, check: Callable[[], None]) -> int:
        while True:
            try:
                return self._child.wait(POLL_S)
            except subprocess.TimeoutExpired:
                check()
                if time.monotonic() > self._told_at + self._wall_s:
                    raise InputTooLargeError(
                        f"The file could not be read within {self._wall_s:g} seconds."
                    ) from None


@contextmanager
def confined(module: str, folder: Path, limits: ChildLimits) -> Iterator[Confined]:
    """Start a module that ends in `answer`; if it has not ended with the block, it is killed.

    Args:
        module: Its full name.
        folder: Where it works.
        limits: What it may use.
    """
    with subprocess.Popen(
        [sys.executable, "-I", "-m", module, json.dumps(astuple(limits))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=ENVIRONMENT,
        start_new_session=True,
    ) as child:
        try:
            yield Confined(child, limits.wall_s)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def run_confined(
    module: str, folder: Path, given: dict[str, Any], *, check: Callable[[], None], limits: ChildLimits
) -> None:
    """Start a module, tell it what to do, and wait for its answer; see `confined` and `Confined`.

    Raises:
        InputError: what it answered, or what its death tells.
        OSError: what this machine refused it.
    """
    with confined(module, folder, limits) as child:
        child.tell(given)
        child.wait(check)


def answer(work: Callable[[dict[str, Any]], None]) -> None:
    """Be the child: give up what the work does not need, do it once it is told, and answer how it went."""
    _confine(ChildLimits(*json.loads(sys.argv[1])))
    refusal: dict[str, object] = {}
    try:
        work(json.load(sys.stdin))
    except InputError as exc:
        refusal = {"code": exc.code, "message": str(exc)}
        if isinstance(exc, SeriesUnclearError):
            refusal["series"] = [one.model_dump() for one in exc.series]
    except MemoryError:
        refusal = {
            "code": InputTooLargeError.code,
            "message": "Reading the file takes more memory than is allowed.",
        }
    except OSError as exc:
        refusal = {"errno": exc.errno or errno.EIO}  # numpy names no number when a file comes out short
    sys.stdout.write(json.dumps(refusal))


def _death(status: int) -> InputError:
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return InputTooLargeError("Reading the file takes more time or memory than is allowed.")
    if status < 0:
        return DamagedInputError("The file is damaged in a way that made its reader crash.")
    return DamagedInputError("The file is damaged and could not be read.")


def _refused(refusal: dict[str, Any]) -> Exception:
    """The child's error in this process; an `OSError` is this machine's fault and not the file's."""
    if "errno" in refusal:
        number = int(refusal["errno"])
        return OSError(number, os.strerror(number))
    kind = {kind.code: kind for kind in _kinds(InputError)}[refusal["code"]]
    if issubclass(kind, SeriesUnclearError):
        return kind(refusal["message"], [FoundSeries.model_validate(one) for one in refusal["series"]])
    return kind(refusal["message"])


def _kinds(kind: type[InputError]) -> Iterator[type[InputError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)


def _confine(limits: ChildLimits) -> None:
    """Give up what the work does not need, and die with the worker."""
    for what, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        _soft, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
