"""The programs of the host, and what its card says of itself while something runs."""

import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SAMPLE_S: Final = 1.0
"""Pause between looks at the card."""
LAST_LINES: Final = 15
CARD_FIELDS: Final = "name,driver_version,compute_cap,memory.total,memory.used,utilization.gpu"


class CheckFailedError(Exception):
    """A step did not do what it should; the message ends with what the program wrote last."""


@dataclass
class CardUse:
    """The highest values that were seen of a card.

    Attributes:
        memory_mib: Memory in use, of all programs together.
        utilization_percent: Share of a second in which it computed.
        looks: How often it was looked at.
    """

    memory_mib: int = 0
    utilization_percent: int = 0
    looks: int = 0

    def add(self, memory_mib: int, utilization_percent: int) -> None:
        """Take one look into account."""
        self.memory_mib = max(self.memory_mib, memory_mib)
        self.utilization_percent = max(self.utilization_percent, utilization_percent)
        self.looks += 1


@dataclass(frozen=True)
class Host:
    """A checkout on a host.

    Args:
        folder: The root of the repository.
        environ: What programs see of the environment.
        gpu: The card, as nvidia-smi numbers it.
    """

    folder: Path
    environ: Mapping[str, str]
    gpu: str = "0"
    sample_s: float = field(default=SAMPLE_S, kw_only=True)

    def run(self, *command: str, timeout_s: float, **environ: str) -> str:
        """What a program writes.

        Raises:
            CheckFailedError: It fails, takes longer than `timeout_s`, or is not there.
        """
        try:
            result = subprocess.run(
                command,
                cwd=self.folder,
                env={**self.environ, **environ},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise CheckFailedError(f"{' '.join(command[:4])}: {type(exc).__name__}") from exc
        if result.returncode:
            last = "\n".join((result.stdout + result.stderr).splitlines()[-LAST_LINES:])
            raise CheckFailedError(f"{' '.join(command[:4])} ended with {result.returncode}\n{last}")
        return result.stdout

    def compose(self, *arguments: str, timeout_s: float = 1500, **environ: str) -> str:
        """What a `docker compose` command writes."""
        return self.run("docker", "compose", *arguments, timeout_s=timeout_s, **environ)

    def card(self) -> dict[str, str]:
        """What nvidia-smi says of the card, by the names of `CARD_FIELDS`; memory in MiB.

        Raises:
            CheckFailedError: It does not answer.
        """
        query = (f"--id={self.gpu}", f"--query-gpu={CARD_FIELDS}", "--format=csv,noheader,nounits")
        told = self.run("nvidia-smi", *query, timeout_s=30).strip()
        values = [value.strip() for value in told.split(",")]
        names = CARD_FIELDS.split(",")
        if len(values) != len(names):
            raise CheckFailedError(f"nvidia-smi told {len(values)} values of {len(names)}: {told!r}")
        return dict(zip(names, values, strict=True))

    @contextmanager
    def watching(self) -> Iterator[CardUse]:
        """Look at the card again and again while something runs."""
        use, done = CardUse(), threading.Event()

        def look() -> None:
            while True:
                try:
                    card = self.card()
                    use.add(int(card["memory.used"]), int(card["utilization.gpu"]))
                except (CheckFailedError, ValueError):
                    pass  # the number of looks tells
                if done.wait(self.sample_s):
                    return

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield use
        finally:
            done.set()
            watcher.join()
