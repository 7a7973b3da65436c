"""Two programs that take turns on the same cores: the one that leads, and what each of the two answers."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Step = Callable[[int], float]
"""Carry out the step of that number and return its loss."""


def take_turns(facts: dict[str, Any], step: Step, finish: Callable[[Path], None]) -> None:
    """Answer the leading program until it asks for the end.

    Args:
        facts: What is told at once; plain JSON.
        step: Carries out one step.
        finish: Writes the predictions of the validation slices to a file.
    """
    _answer(facts)
    done = 0
    for line in sys.stdin:
        wish = json.loads(line)
        if "finish" in wish:
            finish(Path(wish["finish"]))
            _answer({"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})
            return
        seconds, losses = [], []
        for number in range(done, done + wish["steps"]):
            started = time.perf_counter()
            losses.append(step(number))
            seconds.append(time.perf_counter() - started)
        done += wish["steps"]
        _answer({"seconds": seconds, "losses": losses})


@dataclass
class Runner:
    """One of the two programs, as the leading one sees it; it computes only when it is asked to.

    Attributes:
        facts: What it told at its start.
        seconds: Of each of its steps.
        losses: The same.
    """

    command: Sequence[str]
    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._process = subprocess.Popen(
            self.command, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.facts = self._read()

    def run(self, steps: int) -> None:
        """Let it carry out some steps, and wait for them."""
        answer = self._ask({"steps": steps})
        self.seconds += answer["seconds"]
        self.losses += answer["losses"]

    def finish(self, predictions: Path) -> None:
        """Let it predict and end."""
        self.facts |= self._ask({"finish": str(predictions)})
        self._process.wait()

    def stop(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()

    def _ask(self, wish: dict[str, Any]) -> dict[str, Any]:
        if self._process.stdin is None:
            raise RuntimeError("the process was begun without a pipe to its input")
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        if self._process.stdout is None:
            raise RuntimeError("the process was begun without a pipe from its output")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self.command)} ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
