"""A confined process that tries on purpose to reach what is not its own."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from other_child import replace_module

from metseg_worker.sandbox import restrictions
from metseg_worker.sandbox.parent import USUAL, run_confined

PROGRAM = Path(__file__).parents[1] / "support" / "sandbox_attacks.py"
FILES = (
    *("read another job's input", "list the jobs", "write into another job", "append to a file", "delete a file"),
    *("cut a file off", "put a symbolic link into the results", "put a hard link into the results"),
    *("read the environment of a process", "read the memory of a process"),
)
CALLS = (
    *("change a file's mode", "change a file's times", "start a shell", "start its own program", "fork"),
    *("speak to Redis", "speak UDP", "speak to a socket in a folder", "speak to a socket without a folder"),
    *("start an io_uring", "trace a process", "copy from the memory of a process", "signal a process"),
    *("limit a process", "become root in a namespace of its own"),
)
ALWAYS = ("gain privileges", "start many processes")
AS_THIS_HOST_HAS_IT = ("start an io_uring", "trace a process", "become root in a namespace of its own")
"""What a host may refuse to everybody."""
MEANS = dict.fromkeys(FILES, "Landlock") | dict.fromkeys(CALLS, "seccomp") | dict.fromkeys(ALWAYS, "")


@dataclass(frozen=True)
class Told:
    """What came of each attack."""

    confined: dict[str, str]
    free: dict[str, str]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Try all attacks, confined and not."""
    folder = tmp_path_factory.mktemp("attacks")
    jobs = folder / "jobs"
    jobs.mkdir()
    for name in ("secret", "doomed", "doomed_later"):
        (jobs / name).write_text("PATIENT")
    abstract = f"\0{folder}"
    victim = [sys.executable, "-c", "import ctypes; b = ctypes.create_string_buffer(8);"
              " print(ctypes.addressof(b), flush=True); input()"]  # fmt: skip
    with (
        subprocess.Popen(victim, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as unnamed,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        unix.bind(str(folder / "s"))
        unnamed.bind(abstract)
        unix.listen()
        unnamed.listen()
        target = {name: str(jobs / name) for name in ("secret", "doomed", "doomed_later", "outside")}
        target |= {"folder": str(jobs), "tcp": tcp.getsockname()[1], "unix": str(folder / "s")}
        target |= {"abstract": abstract, "pid": process.pid, "program": str(Path(shutil.which("true")).resolve())}
        target["address"] = int(process.stdout.readline())
        try:
            yield Told(confined(folder, target, monkeypatch), free(folder, target))
        finally:
            process.communicate("\n")


def confined(folder: Path, target: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    work = folder / "confined"
    work.mkdir()
    replace_module(monkeypatch, folder, PROGRAM.read_text())
    (folder / "other" / "target.json").write_text(json.dumps(target))
    run_confined("metseg_worker.readers.sandboxed", work, {}, check=lambda: None, limits=USUAL)
    return json.loads((work / "told.json").read_text())


def free(folder: Path, target: dict[str, object]) -> dict[str, str]:
    work = folder / "free"
    work.mkdir()
    shutil.copy(PROGRAM, work)
    (work / "target.json").write_text(json.dumps(target))
    subprocess.run([sys.executable, "-I", str(work / PROGRAM.name), str(work)], check=True, timeout=120)
    return json.loads((work / "told.json").read_text())


@pytest.mark.parametrize("attack", MEANS)
def test_a_confined_process_reaches_nothing_that_is_not_its_own(told: Told, attack: str) -> None:
    if MEANS[attack] in restrictions.missing():
        pytest.skip(f"this host has no {MEANS[attack]}")
    assert told.confined[attack] == "refused"


@pytest.mark.parametrize("attack", [one for one in MEANS if one not in AS_THIS_HOST_HAS_IT])
def test_the_attack_gets_through_where_nothing_was_given_up(told: Told, attack: str) -> None:
    assert told.free[attack] == "got through"


def test_all_attacks_are_judged(told: Told) -> None:
    assert set(told.confined) == set(told.free) == set(MEANS)
