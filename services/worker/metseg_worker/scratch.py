"""The private folder in which an attempt works.

It holds a patient's image, so it must not outlive its attempt: the attempt removes it, or, if that was killed,
the worker's parent does, or, if that was killed too, the next worker that starts on this machine. A lock on the
folder, which the system lets go when its process dies, tells who is still alive.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from metseg.errors import ScratchFullError

PREFIX: Final = "metseg-job-"


@contextmanager
def scratch(job_id: str, attempt: int) -> Iterator[Path]:
    """Make a folder, for this user alone and locked, and remove it in any case.

    Several may work on one job at a time, as replays do, each in a folder of its own.

    Raises:
        ScratchFullError: The disk is full, here or somewhere in the block.
    """
    with told_when_full():
        unnamed = Path(tempfile.mkdtemp(prefix=".metseg-"))
        folder = unnamed.with_name(f"{_named(job_id, attempt)}{unnamed.name.removeprefix('.metseg-')}")
        descriptor = os.open(unnamed, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            unnamed.rename(folder)
            yield folder
        finally:
            for left in (folder, unnamed):
                shutil.rmtree(left, ignore_errors=True)
            os.close(descriptor)


@contextmanager
def told_when_full() -> Iterator[None]:
    """Turn a full disk into `ScratchFullError`; the store has errors of its own."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ScratchFullError("The worker has no room left in its temporary folder.") from exc
        raise


def remove_scratch(job_id: str, attempt: int) -> None:
    """Remove what an attempt that died has left here."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_named(job_id, attempt)}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _named(job_id: str, attempt: int) -> str:
    """Return how the names of an attempt's folders begin."""
    return f"{PREFIX}{job_id}-{attempt}-"


def sweep_scratch() -> int:
    """Remove the folders of attempts that are dead; the number of them."""
    dead = [folder for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*") if _is_dead(folder)]
    for folder in dead:
        shutil.rmtree(folder, ignore_errors=True)
    return len(dead)


def _is_dead(folder: Path) -> bool:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
