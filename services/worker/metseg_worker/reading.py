"""Opens an input in a process of its own, under limits.

Decoders of images are what a hostile file attacks. They run in a fresh Python process that has bounded memory,
time, file size and open files, next to no environment, and no more than the input and an empty folder to work
with. It answers with one JSON object; that it dies is an answer too. `python -m metseg_worker.reading` is that
process.
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
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

import metseg.series_errors  # noqa: F401 - for `_kinds`, which finds its classes below InputError
from metseg.errors import DamagedInputError, InputError, InputTooLargeError
from metseg.scan import Scan, load_scan, save_scan
from metseg_worker.opening import Asked, open_scan

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
POLL_S: Final = 0.2
LARGEST_ANSWER_BYTES: Final = 1 << 16
ENVIRONMENT: Final = {"LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class ReaderLimits:
    """What the reading process may use.

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


def read_in_child(
    source: Path,
    folder: Path,
    asked: Asked,
    *,
    check: Callable[[], None],
    limits: ReaderLimits = ReaderLimits(),
) -> Scan:
    """Read a scan without letting its bytes near this process.

    Args:
        source: A folder of the files as they came, read in the order of their names.
        folder: An empty folder for the hand-over; the images of a DICOM series stay there.
        asked: What the sender said of the input.
        check: Called a few times a second; what it raises ends the reading.
        limits: What the child may use.

    Raises:
        InputError: what `open_scan` said, or what the child's death tells.
    """
    command = [sys.executable, "-I", "-m", __name__, str(source), str(folder)]
    command += [json.dumps({"asked": astuple(asked), "limits": astuple(limits)})]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=ENVIRONMENT,
        start_new_session=True,
    ) as child:
        try:
            status = _wait(child, limits.wall_s, check)
            answer = child.stdout.read(LARGEST_ANSWER_BYTES) if child.stdout else b""
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    if status != 0:
        raise _death(status)
    refusal = json.loads(answer)
    if refusal:
        raise _refused(refusal)
    return load_scan(folder)


def _wait(child: subprocess.Popen[bytes], wall_s: float, check: Callable[[], None]) -> int:
    end = time.monotonic() + wall_s
    while True:
        try:
            return child.wait(POLL_S)
        except subprocess.TimeoutExpired:
            check()
            if time.monotonic() > end:
                raise InputTooLargeError(f"The file could not be read within {wall_s:g} seconds.") from None


def _death(status: int) -> InputError:
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return InputTooLargeError("Reading the file takes more time or memory than is allowed.")
    if status < 0:
        return DamagedInputError("The file is damaged in a way that made its reader crash.")
    return DamagedInputError("The file is damaged and could not be read.")


def _refused(refusal: dict[str, str]) -> Exception:
    """The child's error in this process; an `OSError` is this machine's fault and not the file's."""
    if "errno" in refusal:
        number = int(refusal["errno"])
        return OSError(number, os.strerror(number))
    kinds = {kind.code: kind for kind in _kinds(InputError)}
    return kinds[refusal["code"]](refusal["message"])


def _kinds(kind: type[InputError]) -> Iterator[type[InputError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)


def main() -> None:
    """Read the files in the folder that the arguments name and leave the scan in the other folder."""
    source, folder, options = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    _confine(ReaderLimits(*options["limits"]))
    refusal: dict[str, object] = {}
    try:
        paths = sorted(source.iterdir())
        save_scan(open_scan(paths, folder / "unpacked", Asked(*options["asked"])), folder)
    except InputError as exc:
        refusal = {"code": exc.code, "message": str(exc)}
    except MemoryError:
        refusal = {
            "code": InputTooLargeError.code,
            "message": "Reading the file takes more memory than is allowed.",
        }
    except OSError as exc:
        refusal = {"errno": exc.errno or errno.EIO}  # numpy names no number when a file comes out short
    sys.stdout.write(json.dumps(refusal))


def _confine(limits: ReaderLimits) -> None:
    """Give up what reading does not need, and die with the worker."""
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


if __name__ == "__main__":
    main()
