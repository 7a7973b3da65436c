"""The `metseg` command against a fake API on a real socket."""

import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from fake_api import FakeApi
from phantoms import card

from metseg.schemas.job import Failure
from metseg_client.__main__ import Exit, main
from metseg_client.session import NOTE

REPORT = {
    "job_id": "JOB_ID", "created_at": "2026-11-23T10:00:00Z",
    "model": {"name": "attention_unet", "version": 1, "digest": "0"}, "trained_on": [], "threshold": 0.5,
    "source": {"kind": "nifti", "shape": [1, 1, 1], "spacing_mm": [1, 1, 1], "orientation": ["R", "A", "S"]},
    "lesion_count": 0, "total_volume_mm3": 0, "lesions": [], "warnings": [], "timings_s": {}, "software": {},
}  # fmt: skip
FILES = {
    "mask.nii.gz": ("application/gzip", b"mask" * 1000),
    "report.json": ("application/json", json.dumps(REPORT).encode()),
}


@pytest.fixture
def api() -> FakeApi:
    return FakeApi([card()], dict(FILES))


@pytest.fixture(autouse=True)
def url(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with api.serving() as url:
        monkeypatch.setenv("METSEG_API_URL", url)
        yield url


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "Mueller^Anna.nii.gz"
    path.write_bytes(b"scan")
    return path


def segment(scan: Path, *more: str) -> int:
    return main(["segment", str(scan), "--out", str(scan.parent / "out"), *more])


def test_a_scan_becomes_a_folder_of_results(
    api: FakeApi, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.run_s = 0.6
    assert segment(scan) == Exit.DONE
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*FILES, NOTE}
    assert (tmp_path / "out" / "mask.nii.gz").read_bytes() == FILES["mask.nii.gz"][1]
    told = capsys.readouterr()
    assert told.out.startswith("0 lesions; results in ")
    assert "running" in told.err
    assert "%" in told.err
    assert "Mueller" not in told.err + (tmp_path / "out" / NOTE).read_text()


def test_the_same_again_sends_nothing_and_fetches_only_what_is_missing(
    api: FakeApi, scan: Path, tmp_path: Path
) -> None:
    segment(scan)
    (tmp_path / "out" / "mask.nii.gz").write_bytes(b"half")
    api.requests.clear()
    assert segment(scan) == Exit.DONE
    assert ("POST", "/v1/jobs") not in api.requests
    fetched = [path.rpartition("/")[2] for method, path in api.requests if "/result/" in path]
    assert fetched == ["mask.nii.gz", "report.json"]  # the report to be told of, not to be kept
    assert (tmp_path / "out" / "mask.nii.gz").read_bytes() == FILES["mask.nii.gz"][1]


def test_a_wait_that_was_broken_off_goes_on_with_the_same_job(api: FakeApi, scan: Path) -> None:
    api.run_s = 2.0
    assert segment(scan, "--timeout-s", "0.3") == Exit.STILL_RUNNING
    assert segment(scan) == Exit.DONE
    assert len(api.jobs) == 1


def test_an_upload_whose_answer_was_lost_is_repeated_under_its_key(
    api: FakeApi, scan: Path, tmp_path: Path
) -> None:
    api.refusal = (503, "queue_unavailable", "The queue cannot be reached now.")
    assert segment(scan) == Exit.TRY_LATER
    key = json.loads((tmp_path / "out" / NOTE).read_text())["key"]
    api.refusal = None
    assert segment(scan) == Exit.DONE
    assert json.loads((tmp_path / "out" / NOTE).read_text())["key"] == key


def test_another_scan_another_option_and_a_failed_job_are_sent_anew(
    api: FakeApi, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment(scan)
    segment(scan, "--threshold", "0.4")
    scan.write_bytes(b"another scan")
    segment(scan, "--threshold", "0.4")
    assert len(api.jobs) == 3
    api.failure = Failure(code="input_damaged", message="The file breaks off.")
    scan.write_bytes(b"damaged")
    assert segment(scan) == segment(scan) == Exit.JOB_FAILED
    assert len(api.jobs) == 5
    assert "input_damaged: The file breaks off." in capsys.readouterr().err


def test_a_deleted_job_is_sent_anew(api: FakeApi, scan: Path) -> None:
    segment(scan)
    for job in api.jobs.values():
        job.deleted = True
    assert segment(scan) == Exit.DONE
    assert len(api.jobs) == 2


def test_the_end_says_what_went_wrong(api: FakeApi, scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api.refusal = (422, "model_unknown", "There is no model of that name.")
    assert segment(scan) == Exit.REFUSED
    api.refusal = (429, "quota_exceeded", "100 jobs of this owner are under way.")
    assert segment(scan) == Exit.TRY_LATER
    assert main(["segment", str(scan.with_name("nothing")), "--out", str(scan.parent / "o")]) == Exit.REFUSED
    monkeypatch.setenv("METSEG_API_URL", "http://127.0.0.1:9")
    assert segment(scan) == Exit.TRY_LATER
    monkeypatch.setenv("METSEG_API_URL", "ftp://x")
    assert segment(scan) == Exit.REFUSED


def test_an_interruption_says_that_the_job_goes_on(
    scan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_given: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("metseg_client.client.MetsegClient.wait", interrupt)
    assert segment(scan) == Exit.INTERRUPTED
    assert "the same command" in capsys.readouterr().err


def test_jobs_and_models_are_listed(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    job_id = api.add_job(failure=Failure(code="input_damaged", message="The file breaks off."))
    assert main(["jobs"]) == Exit.DONE
    listed = capsys.readouterr().out.split()
    assert listed[0] == job_id
    assert listed[-3:] == ["failed", "attention_unet", "input_damaged"]
    assert main(["models"]) == Exit.DONE
    assert "ready, default" in capsys.readouterr().out


def test_the_key_and_the_address_come_from_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str | None] = []
    ask = httpx.Client.request

    def note(self: httpx.Client, *given: object, **more: object) -> httpx.Response:
        sent.append(self.headers.get("authorization"))
        return ask(self, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(httpx.Client, "request", note)
    monkeypatch.setenv("METSEG_API_KEY", "metseg_1_secret")
    assert main(["models"]) == Exit.DONE
    monkeypatch.setenv("METSEG_API_URL", "http://127.0.0.1:9")
    assert main(["--api", url, "models"]) == Exit.DONE
    assert sent == ["Bearer metseg_1_secret"] * 2


@pytest.mark.parametrize("spacing", ["x", "1,2,3", ""])
def test_a_wrong_command_line_ends_with_its_usage(scan: Path, spacing: str) -> None:
    with pytest.raises(SystemExit) as caught:
        segment(scan, "--spacing-mm", spacing)
    assert caught.value.code == 2


def test_a_folder_is_sent_as_one_scan_without_what_is_hidden(api: FakeApi, tmp_path: Path) -> None:
    series = tmp_path / "Mueller^Anna" / "T1c"
    series.mkdir(parents=True)
    for number in range(3):
        (series / f"{number}.dcm").write_bytes(b"slice %d" % number)
    (series / ".DS_Store").write_bytes(b"hidden")
    assert segment(tmp_path / "Mueller^Anna", "--series-uid", "1.2.3", "--priority", "urgent") == Exit.DONE
    [body] = api.uploads
    assert body.count(b'name="file"') == 3
    assert b"hidden" not in body
    assert b"\r\n1.2.3\r\n" in body
    assert b"\r\nurgent\r\n" in body
    (series / "3.dcm").write_bytes(b"slice 3")
    segment(tmp_path / "Mueller^Anna", "--series-uid", "1.2.3", "--priority", "urgent")
    assert len(api.uploads) == 2, "a slice more is another scan"


def test_an_empty_folder_is_refused_before_anything_is_sent(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert segment(tmp_path / "empty") == Exit.REFUSED
    assert "there is none in the folder" in capsys.readouterr().err
    assert api.requests == []


def test_a_busy_api_is_waited_for_and_that_is_told(
    api: FakeApi, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.busy = 1
    assert segment(scan) == Exit.DONE
    assert "queue_full: The queue is full.; again in 1 s" in capsys.readouterr().err
    api.busy = 1
    scan.write_bytes(b"another")
    assert main(["--patience-s", "0", "segment", str(scan), "--out", str(scan.parent / "o")]) == Exit.TRY_LATER


@pytest.mark.parametrize("command", [[], ["segment"]])
def test_help_tells_the_exit_codes(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    told = capsys.readouterr().out
    assert all(f"\n  {code.value:<4} " in told for code in Exit)


def test_an_earlier_scan_goes_along_and_another_one_is_another_job(
    api: FakeApi, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    series = tmp_path / "earlier"
    series.mkdir()
    for number in range(2):
        (series / f"{number}.dcm").write_bytes(b"slice %d" % number)
    options = ("--previous-scan", str(series), "--previous-series-uid", "1.2")
    for _ in range(2):
        assert segment(scan, *options) == Exit.DONE
    [body] = api.uploads
    assert [body.count(name) for name in (b'name="file"', b'name="previous_file"')] == [1, 2]
    assert b'name="previous_series_uid"\r\n\r\n1.2\r\n' in body
    (series / "1.dcm").write_bytes(b"another slice")
    assert segment(scan, *options) == Exit.DONE
    assert len(api.jobs) == 2
    with pytest.raises(SystemExit) as wrong:
        segment(scan, "--previous-scan", str(series), "--previous", "a")
    assert wrong.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_the_progress_tells_which_scan_it_is_about(
    api: FakeApi, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.run_s, api.scans = 4.0, 2
    assert segment(scan, "--previous-scan", str(scan)) == Exit.DONE
    told = capsys.readouterr().err
    assert re.search(r"running, earlier scan: read \d", told)
    assert re.search(r"running, (read|prepare|predict|finish) \d", told)


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"metseg {version('metseg-client')}\n"
