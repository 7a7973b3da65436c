"""Log lines tell ids and codes, and nothing of a patient."""

import json
import logging
import os
import sys
from pathlib import Path

import pytest

from metseg.logs import JsonLines, RepeatLimit, without_tensorflow_noise


def line(message: str, *arguments: object, exc_info: object = None, **extra: object) -> dict[str, object]:
    record = logging.LogRecord("metseg_worker", logging.ERROR, "x.py", 1, message, arguments, exc_info)
    record.__dict__.update(extra)
    text = JsonLines().format(record)
    assert "\n" not in text
    return json.loads(text)


def test_known_fields_are_told_and_others_left_out():
    told = line("attempt %d", 2, job_id="j", patient="DOE^JANE")
    assert (told["message"], told["job_id"], told["level"]) == ("attempt 2", "j", "error")
    assert "DOE" not in json.dumps(told)


def test_of_an_exception_only_class_and_place_are_told():
    try:
        raise ValueError("DOE^JANE")
    except ValueError:
        told = line("failed", exc_info=sys.exc_info())
    assert told["error"] == "ValueError"
    assert "test_logs:" in told["frames"][0]
    assert "DOE" not in json.dumps(told)


def test_of_a_message_with_a_traceback_in_it_the_first_line_is_told():
    assert line("job failed\nTraceback\n  patient = 'DOE'")["message"] == "job failed"


def test_a_line_that_repeats_is_limited_and_what_was_left_out_is_counted(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("metseg.logs.time.monotonic", lambda: clock[0])
    limit = RepeatLimit(most=3, every_s=60)

    def passes(place: int) -> tuple[bool, str]:
        record = logging.LogRecord("uvicorn.error", logging.WARNING, "x.py", place, "request %d", (7,), None)
        return limit.filter(record), record.getMessage()

    assert [passes(1)[0] for _ in range(10)] == [True] * 3 + [False] * 7
    assert passes(2) == (True, "request 7")
    clock[0] = 61
    assert passes(1) == (True, "request 7 (7 more were left out)")
    assert passes(1) == (True, "request 7")


NOISE = "I0000 00:00 1 port.cc:153] oneDNN custom operations are on. You may see slightly different results."
OTHER = "E0000 00:00 1 loader.cc:7] The library was built for another processor."


def start_tensorflow(devices: Path, *, fails: bool = False) -> None:
    """Write as native code does."""
    with without_tensorflow_noise(devices):
        os.write(2, f"{NOISE}\n{OTHER}\n{NOISE}\nlast, without an end".encode())
        if fails:
            raise ImportError


def test_of_tensorflows_start_only_what_is_no_noise_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    start_tensorflow(tmp_path)
    os.write(2, b"\nlater")
    assert capfd.readouterr().err == f"{OTHER}\nlast, without an end\nlater"


def test_an_error_at_tensorflows_start_keeps_what_was_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    with pytest.raises(ImportError):
        start_tensorflow(tmp_path, fails=True)
    os.write(2, b"\nlater")
    assert capfd.readouterr().err == f"{OTHER}\nlast, without an end\nlater"


def test_all_is_written_on_a_host_with_a_gpu_or_when_asked_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    start_tensorflow(tmp_path)
    assert NOISE in capfd.readouterr().err
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    (tmp_path / "nvidia0").touch()
    start_tensorflow(tmp_path)
    assert NOISE in capfd.readouterr().err
