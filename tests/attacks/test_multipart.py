"""Forms made to mislead, to block or to fill; tests/api/uploads/test_refusals.py has those that are malformed."""

import socket
import threading
import time
from contextlib import suppress

import pytest
from api_service import ApiService, problem
from raw_http import send

from metseg_api.uploads import multipart as form
from metseg_api.uploads.blob_upload import Uploads

SCAN = b"scan bytes"
NAMES = [
    "../../../etc/passwd",
    "..\\..\\boot.ini",
    "/etc/passwd",
    "C:\\scan.nii",
    "",
    ".",
    "a" * 3000,
    "MUSTERMANN^ERIKA.nii",
    'a"; name="model',
    "a\0b",
    "\u202egz.iin",
    "$(reboot).nii",
    "<img src=x onerror=alert(1)>.nii",
]


def part(disposition: bytes, data: bytes = SCAN) -> bytes:
    return b"--b\r\nContent-Disposition: form-data; " + disposition + b"\r\n\r\n" + data + b"\r\n"


WHOLE = part(b'name="file"; filename="a"') + b"--b--\r\n"


def head(length: int, *more: str) -> bytes:
    lines = ["POST /v1/jobs HTTP/1.1", "Host: localhost", "Content-Type: multipart/form-data; boundary=b", *more]
    return "\r\n".join([*lines, f"Content-Length: {length}"]).encode() + b"\r\n\r\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_files_name_leads_nowhere_and_is_kept_nowhere(api: ApiService, name: str) -> None:
    body = part(b'name="file"; filename="' + name.encode() + b'"') + b"--b--\r\n"
    answer = send(api, head(len(body)) + body)
    assert answer.status in (202, 400, 422)
    kept = [path for path in api.store.rglob("*") if path.is_file()]
    if answer.status == 202:
        assert any(path.read_bytes() == SCAN for path in kept)
    if len(name) > 2:
        assert not any(name.encode() in path.read_bytes() for path in kept)
    assert {path.relative_to(api.store).parts[0] for path in kept} <= {"jobs", "audit", "keys"}


@pytest.mark.parametrize(
    "disposition",
    [
        b'name="file"; name="model"',
        b"name*=UTF-8''model",
        b'name="fi\r\n le"',
        b'name="../file"',
        b'name="file\0"',
        b'name="FILE"',
        b'name="file "',
        b'name="__proto__"',
    ],
)
def test_a_parts_name_is_taken_by_the_letter(api: ApiService, disposition: bytes) -> None:
    body = part(disposition, b"attention_unet") + b"--b--\r\n"
    assert send(api, head(len(body)) + body).status in (400, 422)
    assert api.stored() == []


def test_a_form_that_comes_byte_by_byte_is_read(api: ApiService) -> None:
    answer = send(api, head(len(WHOLE)), *(WHOLE[at : at + 1] for at in range(len(WHOLE))))
    assert answer.status == 202


def test_what_stands_before_the_first_boundary_is_no_scan(api: ApiService) -> None:
    body = b"preamble " * 1000 + b"\r\n" + WHOLE
    assert send(api, head(len(body)) + body).status in (202, 400)
    assert not any(b"preamble" in path.read_bytes() for path in api.store.rglob("*") if path.is_file())


def test_a_form_within_the_file_stays_the_files_bytes(api: ApiService) -> None:
    inner = b'--c\r\nContent-Disposition: form-data; name="model"\r\n\r\nx\r\n--c--\r\n'
    body = part(b'name="file"; filename="a"', inner) + b"--b--\r\n"
    assert send(api, head(len(body)) + body).status == 202
    assert any(path.read_bytes() == inner for path in api.store.rglob("0"))


def test_a_length_that_is_too_small_cuts_the_form_off(api: ApiService) -> None:
    assert send(api, head(len(WHOLE) - 6) + WHOLE).status == 400
    assert api.stored() == []


def test_a_length_that_is_never_reached_ends_after_the_idle_time(
    api: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(form, "IDLE_S", 0.5)
    answer = send(api, head(1_000_000) + WHOLE)
    assert answer.status == 408
    assert b"upload_timeout" in answer.body
    assert api.stored() == []


@pytest.mark.parametrize("name", [b"file", b"previous_file"])
def test_a_form_of_too_many_files_is_refused_before_one_is_stored(
    api: ApiService, monkeypatch: pytest.MonkeyPatch, name: bytes
) -> None:
    begun: list[str] = []
    begin = Uploads.begin

    async def counted(self: Uploads, part: str) -> None:
        begun.append(part)
        await begin(self, part)

    monkeypatch.setattr(Uploads, "begin", counted)
    body = part(b'name="' + name + b'"; filename="a"') * (form.MAX_FILES + 1) + b"--b--\r\n"
    answer = send(api, head(len(body)) + body)
    assert answer.status == 422
    assert b"at most 2000 files" in answer.body
    assert begun == []
    assert api.stored() == []


def test_more_small_files_than_are_read_ahead_are_all_stored(
    api: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(form, "READ_AHEAD_BYTES", 2000)
    body = b"".join(part(b'name="file"; filename="a"', b"%d" % number) for number in range(100)) + b"--b--\r\n"
    answer = send(api, head(len(body)), *(body[at : at + 1500] for at in range(0, len(body), 1500)))
    assert answer.status == 202
    [folder] = api.store.glob("jobs/*/input")
    assert [(folder / str(number)).read_bytes() for number in range(100)] == [
        b"%d" % number for number in range(100)
    ]


def test_a_form_that_trickles_in_is_cut_off(api: ApiService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "IDLE_S", 1.0)
    with socket.create_connection(("127.0.0.1", api.settings.api_port), timeout=0.1) as line:
        line.sendall(head(1_000_000) + WHOLE[:60])
        until, got = time.monotonic() + 30, b""
        while not got and time.monotonic() < until:
            line.sendall(b"x")
            with suppress(TimeoutError):
                got = line.recv(1 << 16)
    assert got.startswith(b"HTTP/1.1 408")
    assert api.stored() == []


def test_slow_senders_keep_nobody_else_waiting(api: ApiService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "IDLE_S", 2.0)
    statuses: list[int] = []
    slow = [
        threading.Thread(target=lambda: statuses.append(send(api, head(1000) + WHOLE[:60]).status))
        for _ in range(40)
    ]
    for thread in slow:
        thread.start()
    time.sleep(0.5)
    began = time.monotonic()
    assert api.submit().status_code == 202
    took_s = time.monotonic() - began
    for thread in slow:
        thread.join(timeout=30)
    assert statuses == [408] * 40
    assert took_s < 5


def test_a_header_may_not_carry_a_second_one(api: ApiService) -> None:
    for key in ("a\tb", "ä", "a" * 256):
        answer = api.http.post("/v1/jobs", files={"file": ("a", SCAN)}, headers={"Idempotency-Key": key.encode()})
        problem(answer, 422, "request_invalid")
    assert send(api, head(len(WHOLE), "Idempotency-Key: a\r\n\tX-Evil: 1") + WHOLE).status in (202, 400, 422)
