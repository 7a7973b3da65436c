"""What a confined process has to give up, on hosts that offer less, and what its parent does not believe it.

The attacks themselves are in tests/attacks/test_sandbox.py.
"""

from pathlib import Path

import pytest
from hostile_files import nifti
from other_child import UNCONFINED, replace_module

from metseg.imaging.scan import Scan
from metseg_worker.readers.open import ReadOptions
from metseg_worker.readers.sandboxed import read_in_child
from metseg_worker.sandbox import landlock, restrictions, seccomp
from metseg_worker.sandbox.answer import ConfinedError

READING = "from metseg_worker.readers.sandboxed import main\n"
LINKING = "import os\ndef main(given): os.symlink('/etc/passwd', 'scan.npy')"
ELSEWHERE = """
import json
from pathlib import Path
from metseg_worker.readers import sandboxed
def main(given):
    sandboxed.main(given)
    told = json.loads(Path("scan.json").read_text())
    Path("scan.json").write_text(json.dumps(told | {"slices": [(SLICE, 0)]}))
"""


def read(folder: Path) -> Scan:
    for name in ("in", "out"):
        (folder / name).mkdir()
    (folder / "in" / "0").write_bytes(nifti())
    return read_in_child(folder / "in", folder / "out", ReadOptions(), check=lambda: None)


def without_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 0)
    monkeypatch.setattr(seccomp, "LIBRARY", "absent.so")


def test_a_host_that_offers_neither_reads_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    replace_module(monkeypatch, tmp_path, READING, before=UNCONFINED)
    assert read(tmp_path).volume.shape == (32, 32, 8)


def test_what_is_lacking_is_told_once_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    monkeypatch.setattr(landlock, "version", lambda: 4)
    restrictions.report()
    assert [one.levelname for one in caplog.records][:1] == ["INFO"]
    assert "Landlock 4" in caplog.records[0].sandbox
    caplog.clear()
    without_means(monkeypatch)
    restrictions.report()
    [_, warned] = caplog.records
    assert (warned.levelname, warned.missing) == ("WARNING", ["Landlock", "seccomp"])
    assert not landlock.restrict([], [])
    assert not seccomp.refuse_calls()


def test_a_link_that_a_child_leaves_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    replace_module(monkeypatch, tmp_path, LINKING, before=UNCONFINED)
    with pytest.raises(ConfinedError, match="a link"):
        read(tmp_path)


@pytest.mark.parametrize("path", ["/etc/passwd", "{folder}/in/../../secret"])
def test_a_child_cannot_name_files_that_it_was_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
):
    code = ELSEWHERE.replace("SLICE", repr(path.format(folder=tmp_path)))
    replace_module(monkeypatch, tmp_path, code)
    with pytest.raises(ConfinedError, match="was not given"):
        read(tmp_path)
