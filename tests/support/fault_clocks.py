"""Wall clocks of processes that a test can put forward and back."""

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("jumping_clock.c")


class Clocks:
    """The wall clocks of services, by their names; the monotonic ones go on as they are.

    Attributes:
        can_jump: False where there is no C compiler; every service then keeps the machine's time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self._library = folder / "jumping_clock.so"
        self.can_jump = _compiled(SOURCE, self._library)

    def environment(self, name: str) -> dict[str, str]:
        """What makes a service read its own clock."""
        if not self.can_jump:
            return {}
        if not self._file(name).exists():
            self.put(name, 0)
        return {"LD_PRELOAD": str(self._library), "CLOCK_AHEAD": str(self._file(name))}

    def put(self, name: str, ahead_s: int) -> None:
        """Let a service's clock be ahead of the machine's by so much, or behind where that is negative."""
        with self._file(name).open("r+b" if self._file(name).exists() else "xb") as file:
            file.write(ahead_s.to_bytes(8, sys.byteorder, signed=True))

    def _file(self, name: str) -> Path:
        return self._folder / name


def _compiled(source: Path, library: Path) -> bool:
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
