"""Inputs that must end in a stable code and a sentence, with nothing left behind."""

import errno
import resource
import time
from pathlib import Path

import numpy as np
import pytest
from child_processes import children_with
from hostile_files import HOSTILE, nifti
from other_child import AS_LOADED, replace_child, replace_module
from workplace import Workplace, wait_for

from metseg.errors import DamagedInputError, InputTooLargeError, JobCancelledError
from metseg.schemas.job import JobState
from metseg_worker.readers.open import ReadOptions
from metseg_worker.readers.sandboxed import read_in_child
from metseg_worker.sandbox import parent
from metseg_worker.sandbox.parent import USUAL, ChildLimits
from metseg_worker.sandbox.parent import confined as confined_process

LOOPING = """
def main(given):
    while True:
        pass
"""


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_fails_its_job_and_leaves_nothing(place: Workplace, kind, tmp_path: Path):
    make, code = HOSTILE[kind]
    job_id = place.submit(make())
    final = place.attempt(job_id)
    assert final.state is JobState.FAILED
    assert final.failure.code == code
    assert len(final.failure.message.split()) >= 5
    assert final.artefacts == []
    assert place.names(job_id) == ["end.json", "lease.json"]
    assert list((tmp_path / "scratch").iterdir()) == []


def read(content: bytes, folder: Path, *, check=lambda: None, **limits: int):
    for name in ("in", "out"):
        (folder / name).mkdir()
    (folder / "in" / "0").write_bytes(content)
    return read_in_child(folder / "in", folder / "out", ReadOptions(), check=check, limits=ChildLimits(**limits))


def test_a_sound_file_comes_through_the_child_as_it_is(tmp_path: Path):
    assert read(nifti(), tmp_path).volume.shape == (32, 32, 8)


def test_a_file_that_needs_too_much_memory_is_too_large(tmp_path: Path):
    with pytest.raises(InputTooLargeError, match="memory"):
        read(nifti(np.zeros((512, 512, 256), np.int16)), tmp_path, memory_bytes=300 << 20)


def test_a_reader_cannot_fill_the_disk(tmp_path: Path):
    with pytest.raises(OSError, match="error"):
        read(nifti(), tmp_path, file_bytes=4096)


def test_a_reader_that_takes_too_long_is_killed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(parent, "POLL_S", 0.01)
    with pytest.raises(InputTooLargeError, match="within 0 seconds"):
        read(nifti(), tmp_path, wall_s=0)


def test_a_reader_that_uses_too_much_processor_time_is_killed(tmp_path: Path, monkeypatch):
    replace_module(monkeypatch, tmp_path, LOOPING)
    with pytest.raises(InputTooLargeError, match="time or memory"):
        read(nifti(), tmp_path, cpu_s=2)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import os; os.kill(os.getpid(), 11)", DamagedInputError),
        ("import os; os.kill(os.getpid(), 9)", InputTooLargeError),
    ],
)
def test_the_death_of_the_reader_is_an_error_of_the_input(tmp_path: Path, monkeypatch, code, error):
    replace_child(monkeypatch, tmp_path, AS_LOADED + code)
    with pytest.raises(error):
        read(nifti(), tmp_path)


def test_a_full_disk_is_not_blamed_on_the_file(tmp_path: Path, monkeypatch):
    replace_child(monkeypatch, tmp_path, AS_LOADED + f"""print('{{"errno": {errno.ENOSPC}}}')""")
    with pytest.raises(OSError, match="space"):
        read(nifti(), tmp_path)


def test_a_cancel_ends_the_reading(tmp_path: Path, monkeypatch):
    replace_child(monkeypatch, tmp_path, "import time; time.sleep(60)")

    def check() -> None:
        raise JobCancelledError("stop")

    with pytest.raises(JobCancelledError):
        read(nifti(), tmp_path, check=check)


def test_a_process_that_waits_to_be_told_is_limited_and_ends_with_its_block(tmp_path: Path):
    with confined_process("metseg_worker.readers.sandboxed", tmp_path, USUAL):
        [waiting] = children_with("metseg_worker.readers.sandboxed")
        wait_for(lambda: waiting.rlimit(resource.RLIMIT_AS) == (USUAL.memory_bytes, USUAL.memory_bytes))
    assert not waiting.is_running()


def test_the_time_for_which_a_process_waited_is_not_counted_against_it(tmp_path: Path, monkeypatch):
    ready, limits = tmp_path / "ready", ChildLimits(wall_s=2)
    tell, work = f"open({str(ready)!r}, 'w').close()", "sys.stdin.read(); time.sleep(0.2); print('{}')"
    replace_child(monkeypatch, tmp_path, f"{AS_LOADED}import time; {tell}; {work}")
    monkeypatch.setattr(parent, "POLL_S", 0.01)
    with confined_process("metseg_worker.readers.sandboxed", tmp_path, limits) as process:
        wait_for(ready.exists)
        time.sleep(limits.wall_s)
        process.tell({})
        process.wait(lambda: None)
