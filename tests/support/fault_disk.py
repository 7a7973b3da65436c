"""A folder on a file system of its own, which a test can fill to the brim and free again."""

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self


class SmallDisk:
    """A folder in memory with a size; where this user may mount nothing, a plain folder that is never full.

    Attributes:
        folder: Where it is.
        can_be_full: Whether `fill` does anything.
    """

    def __init__(self, folder: Path, *, size_bytes: int) -> None:
        self.folder = folder
        self._size_bytes = size_bytes
        folder.mkdir()
        self.can_be_full = _ran("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.can_be_full:
            assert _ran("umount", str(self.folder))

    def fill(self, *, leave_bytes: int) -> None:
        """Leave so much room and no more: the file system shrinks to what is in it, so that nothing is written."""
        state = os.statvfs(self.folder)
        used = (state.f_blocks - state.f_bfree) * state.f_frsize
        self._resize(used + max(leave_bytes, state.f_frsize))

    def free(self) -> None:
        """Give back the room that it had at first."""
        self._resize(self._size_bytes)

    def _resize(self, size_bytes: int) -> None:
        """Ask for a size; one that has become too small meanwhile is refused, and the disk stays as it was."""
        if self.can_be_full:
            _ran("mount", "-o", f"remount,size={size_bytes}", str(self.folder))


def _ran(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
