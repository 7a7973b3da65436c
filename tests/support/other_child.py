"""Lets other code run in a confined process, where a module of the worker would."""

import sys
from pathlib import Path
from typing import Any

import pytest

from metseg_worker.sandbox import parent
from metseg_worker.sandbox.answer import LOADED

SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from metseg_worker.sandbox.child import main
{before}
main()
"""
UNCONFINED = (
    "from metseg_worker.sandbox import landlock, seccomp; "
    "landlock.version, seccomp.LIBRARY = lambda: 0, 'absent.so'"
)
"""Runs before `main` as on a host that has neither Landlock nor seccomp."""
AS_LOADED = f"import sys; sys.stdout.buffer.write({LOADED!r}); sys.stdout.flush()\n"
"""What comes first in a script that answers by itself."""


def replace_module(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    code: str,
    module: str = "metseg_worker.readers.sandboxed",
    *,
    before: str = "",
) -> None:
    """Let the confined process load this code in place of a module; it is confined like that.

    Args:
        monkeypatch: Ends it.
        folder: Takes the code.
        code: Of a module with a `main`.
        module: What it stands for.
        before: Code that runs before the process is confined.
    """
    (folder / "other").mkdir()
    (folder / "other" / "other_module.py").write_text(code)
    script = folder / "other" / "start.py"
    script.write_text(SCRIPT.format(folder=str(script.parent), before=before))
    _replace(
        monkeypatch, module, lambda command: [sys.executable, "-I", str(script), "other_module", *command[5:]]
    )


def replace_child(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Let this code be the whole process, without any confinement."""
    script = folder / "other_child.py"
    script.write_text(code)
    _replace(monkeypatch, "metseg_worker.readers.sandboxed", lambda _: [sys.executable, str(script)])


def _replace(monkeypatch: pytest.MonkeyPatch, module: str, other: Any) -> None:
    popen = parent.subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:
        return popen(other(command) if command[4:5] == [module] else command, **options)

    monkeypatch.setattr(parent.subprocess, "Popen", start)
