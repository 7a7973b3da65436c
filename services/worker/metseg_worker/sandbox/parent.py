"""Runs a module in a process of its own, under limits.

A hostile file attacks the process that reads it. That happens in a fresh Python process that has bounded memory,
time, file size and open files, next to no environment, and no more than what it is given and a folder to work in
(`metseg_worker.sandbox.restrictions`).
It can be started before it is known what it shall do, loads its code meanwhile, takes one JSON object, and
answers with another, empty or an error; that it dies is an answer too.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from metseg.errors import DamagedInputError, InputTooLargeError
from metseg_worker.sandbox.answer import LOADED, Answer, ConfinedError, raise_error_of

CHILD: Final = "metseg_worker.sandbox.child"
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

    def __init__(self, child: subprocess.Popen[bytes], folder: Path, wall_s: float) -> None:
        """Hold a process, the folder that it writes to, and how long it may take once it has been told."""
        self._child, self._folder, self._wall_s = child, folder, wall_s
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
            InputError: What it answered, or what its death says of the file.
            OSError: What this machine refused it.
            ConfinedError: It failed by a fault of its own.
        """
        status = self._status(check)
        said = self._child.stdout.read(LARGEST_ANSWER_BYTES) if self._child.stdout else b""
        if status != 0:
            raise _death(status, is_loaded=said.startswith(LOADED))
        try:
            answer = Answer.model_validate_json(said.removeprefix(LOADED))
        except ValidationError:
            raise ConfinedError("an answer that is none") from None
        raise_error_of(answer)
        _expect_no_links(self._folder)

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
def confined(module: str, folder: Path, limits: ChildLimits, reads: Sequence[Path] = ()) -> Iterator[Confined]:
    """Start a process that calls `main` of a module; if it has not ended with the block, it is killed.

    Args:
        module: Its full name.
        folder: Where it works, the only place where it can write.
        limits: What it may use.
        reads: Folders that it may read besides.
    """
    allowed = {"limits": astuple(limits), "reads": [str(path.resolve()) for path in reads]}
    with subprocess.Popen(
        [sys.executable, "-I", "-m", CHILD, module, json.dumps(allowed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=ENVIRONMENT,
        start_new_session=True,
    ) as child:
        try:
            yield Confined(child, folder, limits.wall_s)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def run_confined(
    module: str,
    folder: Path,
    given: dict[str, Any],
    *,
    check: Callable[[], None],
    limits: ChildLimits,
    reads: Sequence[Path] = (),
) -> None:
    """Start a module, tell it what to do, and wait for its answer; see `confined` and `Confined`.

    Raises:
        InputError, OSError, ConfinedError: See `Confined.wait`.
    """
    with confined(module, folder, limits, reads) as child:
        child.tell(given)
        child.wait(check)


def _expect_no_links(folder: Path) -> None:
    """Refuse links, by which a child that was taken over would have this process read other files.

    Raises:
        ConfinedError: There is one, or what is neither file nor folder.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _expect_no_links(Path(entry.path))
            elif not entry.is_file(follow_symlinks=False) or entry.stat(follow_symlinks=False).st_nlink > 1:
                raise ConfinedError("a link among its files")


def _death(status: int, *, is_loaded: bool) -> Exception:
    """Whose fault it is that the child died; before it was loaded, it had read nothing of the file."""
    if not is_loaded or status > 0:
        return ConfinedError(_ending(status))
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return InputTooLargeError("Reading the file takes more time or memory than is allowed.")
    return DamagedInputError("The file is damaged in a way that made its reader crash.")


def _ending(status: int) -> str:
    return f"exit status {status}" if status > 0 else signal.Signals(-status).name
