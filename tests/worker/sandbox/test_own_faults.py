"""A confined process that fails by a fault of its own does not blame the file, and the log tells where."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from dicom_series import classic, to_bytes
from hostile_files import nifti
from other_child import AS_LOADED, replace_child, replace_module
from phantoms import affine_of, centred, head_with_ball
from workplace import Workplace

from metseg.errors import DamagedInputError
from metseg.logs import JsonLines
from metseg.schemas.job import JobState
from metseg_worker.outputs.dicom import sandboxed
from metseg_worker.outputs.write import NO_OBJECTS
from metseg_worker.readers.open import ReadOptions
from metseg_worker.readers.sandboxed import read_in_child
from metseg_worker.registration import align as registering
from metseg_worker.sandbox.answer import ConfinedError, log_fields

PATIENT = "DOE^JANE"
RAISING = f"""
def main(given):
    secret = {PATIENT!r}
    raise KeyError(secret)
"""
NOT_LOADING = f"import a_module_that_is_not_there  # {PATIENT}"
BROKEN_HEADER = """
from metseg.errors import DamagedInputError
def main(given):
    raise DamagedInputError("expected a sound DICOM file, but a header cannot be read")
"""


@pytest.mark.parametrize(
    ("module", "code", "error"),
    [
        pytest.param("metseg_worker.readers.sandboxed", RAISING, "KeyError", id="reading"),
        pytest.param("metseg_worker.readers.sandboxed", NOT_LOADING, "ModuleNotFoundError", id="loading"),
        pytest.param(sandboxed.WRITER, RAISING, "KeyError", id="writing"),
    ],
)
def test_an_unknown_exception_of_the_child_is_an_internal_error_and_logged_with_its_place(
    place: Workplace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    module: str,
    code: str,
    error: str,
):
    replace_module(monkeypatch, tmp_path, code, module)
    final = place.attempt(place.submit(*files()))
    assert (final.state, final.failure.code) == (JobState.FAILED, "internal_error")
    [record] = [one for one in caplog.records if one.levelno == logging.ERROR]
    line = JsonLines().format(record)
    told = json.loads(line)
    assert told["child_error"] == error
    assert any(frame.startswith("other_module:") for frame in told["child_frames"])
    assert told["job_id"] == final.job_id
    assert PATIENT not in line + final.model_dump_json()


def test_a_registration_that_fails_by_itself_does_not_blame_the_scans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    replace_module(monkeypatch, tmp_path, RAISING, registering.__name__)
    scan = read(tmp_path)
    with pytest.raises(ConfinedError) as failed:
        registering.align(scan.volume, scan.volume, tmp_path, check=lambda: None)
    assert failed.value.error == "KeyError"


def test_headers_are_blamed_where_they_are_at_fault(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    replace_module(monkeypatch, tmp_path, BROKEN_HEADER, sandboxed.WRITER)
    job_id = place.submit(*files())
    final = place.attempt(job_id)
    assert final.state is JobState.SUCCEEDED, final.failure
    assert NO_OBJECTS in json.loads(place.artefact(job_id, "report.json").read_text())["warnings"]


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.kill(os.getpid(), 11)",
        f"{AS_LOADED}sys.exit(3)",
        f"{AS_LOADED}print('no JSON')",
        f"""{AS_LOADED}print('{{"code": "job_gone"}}')""",
        f"""{AS_LOADED}print('{{"fault": {{"error": "DOE^JANE 1961", "frames": []}}}}')""",
    ],
    ids=[
        "crashed before it was loaded",
        "left",
        "said no JSON",
        "said another code",
        "said what no class is called",
    ],
)
def test_a_child_that_does_not_answer_as_it_should_is_not_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
):
    replace_child(monkeypatch, tmp_path, code)
    with pytest.raises(ConfinedError) as failed:
        read(tmp_path)
    assert PATIENT not in failed.value.error


def test_what_this_machine_refuses_is_told_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    full = f"import errno\ndef main(given): raise OSError(errno.ENOSPC, {PATIENT!r})"
    replace_module(monkeypatch, tmp_path, full)
    with pytest.raises(OSError, match="space") as failed:
        read(tmp_path)
    fields = log_fields(failed.value)
    assert fields["child_error"] == "OSError"
    assert any(str(frame).startswith("other_module:") for frame in fields["child_frames"])
    assert PATIENT not in str(failed.value) + str(fields)


def test_a_crash_while_the_file_is_read_is_blamed_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    replace_module(monkeypatch, tmp_path, "import os\ndef main(given): os.kill(os.getpid(), 11)")
    with pytest.raises(DamagedInputError):
        read(tmp_path)


def files() -> list[bytes]:
    shape = (64, 56, 20)
    affine = centred(affine_of(("L", "A", "S"), (3, 3.5, 6)), shape, np.zeros(3))
    head = head_with_ball(shape, affine, np.array((28.0, 12, 18)), 20, 80)
    return [to_bytes(image) for image in classic(head.with_array(head.array.astype(np.uint16)))]


def read(folder: Path):
    for name in ("in", "out"):
        (folder / name).mkdir()
    (folder / "in" / "0").write_bytes(nifti())
    return read_in_child(folder / "in", folder / "out", ReadOptions(), check=lambda: None)
