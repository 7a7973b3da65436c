import hashlib
import logging
import re
import socket
import time
from pathlib import Path

import pytest
from api_service import ApiService

from metseg.schemas.job import JobState, is_job_id
from metseg_api.use_cases.submit_job import FIELDS

LOGGERS = ("metseg", "uvicorn", "python_multipart")


def test_an_accepted_scan_is_stored_before_the_answer_and_queued(api: ApiService) -> None:
    waiting = api.dispatcher.queue_length()
    data = bytes(range(256)) * 4000
    answer = api.submit(data)
    assert answer.status_code == 202
    job = answer.json()
    assert is_job_id(job["id"])
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert int(answer.headers["retry-after"]) >= 1
    assert job["state"] == "queued"
    record = api.jobs.load(job["id"])
    [stored] = record.inputs
    assert api.jobs.blobs.get(stored.key) == data
    assert (stored.size_bytes, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert api.dispatcher.queue_length() == waiting + 1


def test_a_job_takes_the_newest_version_that_is_both_served_and_known(api: ApiService) -> None:
    record = api.jobs.load(api.submitted())
    assert (record.model.name, record.model.version) == ("attention_unet", 2)
    assert re.fullmatch("[0-9a-f]{64}", record.model.digest)


def test_each_of_several_files_is_stored_with_its_own_digest_in_the_order_they_came(api: ApiService) -> None:
    contents = [b"first" * 400_000, b"second", b"third"]
    files = [("file", ("image", content)) for content in contents]
    answer = api.http.post("/v1/jobs", files=files, data={"series_uid": "1.2.840.1"})
    assert answer.status_code == 202, answer.text
    record = api.jobs.load(answer.json()["id"])
    assert record.request.series_uid == "1.2.840.1"
    assert [api.jobs.blobs.get(stored.key) for stored in record.inputs] == contents
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    assert [stored.sha256 for stored in record.inputs] == digests


@pytest.mark.parametrize("file_first", [True, False])
def test_fields_count_before_and_after_the_file(api: ApiService, file_first: bool) -> None:
    file = ("file", ("x", b"12345"))
    fields = [
        ("model", (None, "unet_plus_plus")),
        ("threshold", (None, "0.25")),
        ("spacing_mm", (None, "0.9, 1.1")),
    ]
    answer = api.http.post("/v1/jobs", files=[file, *fields] if file_first else [*fields, file])
    assert answer.status_code == 202, answer.text
    record = api.jobs.load(answer.json()["id"])
    assert record.model.name == "unet_plus_plus"
    assert record.request.threshold == 0.25
    assert record.request.spacing_mm == (0.9, 1.1)


def test_one_spacing_stands_for_both_axes(api: ApiService) -> None:
    assert api.submit(spacing_mm="0.9").json()["request"]["spacing_mm"] == [0.9, 0.9]


def test_an_empty_field_counts_as_not_given(api: ApiService) -> None:
    empty = dict.fromkeys(FIELDS, "")
    request = api.submit(**empty).json()["request"]
    assert request.pop("model") == "attention_unet"
    assert request.pop("priority") == "routine"
    assert request.pop("previous") == []
    assert set(request.values()) == {None}


def test_the_senders_file_name_is_neither_stored_nor_logged_nor_answered(
    api: ApiService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "MUSTERMANN_ERIKA_19450203"
    answer = api.http.post("/v1/jobs", files={"file": (f"{canary}.nii.gz", b"data", f"x/{canary}")})
    assert answer.status_code == 202
    assert canary not in answer.text + str(answer.headers)
    assert not any(canary in name for name in api.stored())
    assert not any(canary.encode() in path.read_bytes() for path in api.store.rglob("*") if path.is_file())
    ours = [record for record in caplog.records if record.name.startswith(LOGGERS)]
    assert ours
    assert not any(canary in str(record.__dict__) for record in ours)


def test_a_body_that_comes_byte_by_byte_is_the_same_job(api: ApiService) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n12\r\n--b3\r\n-\r\n--b--\r\n'
    head = (
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", api.settings.api_port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(head.encode())
        for place in range(len(body)):
            connection.sendall(body[place : place + 1])
            time.sleep(0.001)
        assert connection.recv(4096).startswith(b"HTTP/1.1 202")
    [job_id] = api.jobs.ids()
    assert api.jobs.blobs.get(api.jobs.input_key(job_id)) == b"12\r\n--b3\r\n-"


def test_a_sender_who_leaves_in_the_middle_leaves_nothing(api: ApiService) -> None:
    head = (
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        "Content-Length: 3000000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    )
    with socket.create_connection(("127.0.0.1", api.settings.api_port)) as connection:
        connection.sendall(head.encode() + b"x" * 2_000_000)
        _wait_for(lambda: any(".part" in name for name in api.stored()), "the upload to begin")
    _wait_for(lambda: api.stored() == [], "the half upload to go")
    assert api.jobs.ids() == []


def test_the_job_is_on_disk_and_still_there_for_the_next_process(api: ApiService) -> None:
    job_id = api.submitted()
    assert (Path(api.settings.store) / "jobs" / job_id / "job.json").is_file()
    assert api.http.get(f"/v1/jobs/{job_id}").json()["state"] == JobState.QUEUED


def _wait_for(condition: object, what: str) -> None:
    until = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.02)


def test_a_label_is_kept_with_the_job_and_is_in_no_log(api: ApiService, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    label = "Fall 12, März – “Kontrolle”"
    job = api.submit(b"scan", label=label).json()
    assert job["request"]["label"] == label
    assert api.jobs.load(job["id"]).request.label == label
    assert label not in caplog.text


@pytest.mark.parametrize("label", ["a\nb", "\x00", "tab\there", "x" * 81])
def test_a_label_of_several_lines_or_of_control_characters_is_refused(api: ApiService, label: str) -> None:
    answer = api.submit(b"scan", label=label)
    assert answer.status_code == 422
    assert answer.json()["code"] == "request_invalid"
