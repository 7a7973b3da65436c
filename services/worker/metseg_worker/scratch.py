"""The private folder in which an attempt works.

It holds a patient's image, so it must not outlive its attempt: the attempt removes it, or, if that was killed,
the worker's parent does, or, if that was killed too, the next worker that starts on this machine. A lock on the
folder, which the system lets go when its process dies, tells who is still alive.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PREFIX: Final = "metseg-job-"


def scratch_folder(job_id: str, attempt: int) -> Path:
    """Where the attempt keeps its files; known by its ids, so that a killed attempt's can be removed."""
    return Path(tempfile.gettempdir()) / f"{PREFIX}{job_id}-{attempt}"


@contextmanager
def scratch(job_id: str, attempt: int) -> Iterator[Path]:
    """Make the folder, for this user alone and locked, and remove it in any case."""
    folder = scratch_folder(job_id, attempt)
    unnamed = tempfile.mkdtemp(prefix=".metseg-")
    descriptor = os.open(unnamed, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.rename(unnamed, folder)
        yield folder
    finally:
        remove_scratch(job_id, attempt)
        shutil.rmtree(unnamed, ignore_errors=True)
        os.close(descriptor)


def remove_scratch(job_id: str, attempt: int) -> None:
    """Remove the folder if it is there."""
    shutil.rmtree(scratch_folder(job_id, attempt), ignore_errors=True)


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
