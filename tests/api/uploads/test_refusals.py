"""What the API refuses by itself: a stable code, a sentence, and nothing left in the store."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api_service import ApiService, StatusServer, api_settings, problem, serving, write_cards
from redis_fixture import free_port

from metseg.errors import QueueUnavailableError
from metseg_api.uploads import multipart as form

CANARY = "MUSTERMANN"
HEAD = b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
WHOLE = b"--b\r\n" + HEAD + b"data\r\n--b--\r\n"
FORM = "multipart/form-data; boundary=b"


def field(name: str, value: str) -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def post(api: ApiService, body: bytes, content_type: str = FORM) -> httpx.Response:
    return api.http.post("/v1/jobs", content=body, headers={"Content-Type": content_type})


def nothing_happened(api: ApiService) -> bool:
    return api.stored() == [] and api.http.get("/v1/jobs").json()["items"] == []


FIELDS = [
    ({"threshold": "7"}, "request_invalid"),
    ({"threshold": "0"}, "request_invalid"),
    ({"threshold": "1"}, "request_invalid"),
    ({"threshold": "nan"}, "request_invalid"),
    ({"threshold": "-inf"}, "request_invalid"),
    ({"threshold": f"{CANARY}"}, "request_invalid"),
    ({"spacing_mm": "0"}, "request_invalid"),
    ({"spacing_mm": "1,2,3"}, "request_invalid"),
    ({"spacing_mm": "1;2"}, "request_invalid"),
    ({"spacing_mm": "1e9"}, "request_invalid"),
    ({"model": f"{CANARY}"}, "model_unknown"),
    ({"model": "../attention_unet"}, "model_unknown"),
    ({"series_uid": "1.2.x"}, "request_invalid"),
    ({"series_uid": "1" * 65}, "request_invalid"),
    ({"priority": "at once"}, "request_invalid"),
    ({"treshold": "0.5"}, "request_invalid"),
    ({CANARY: "1"}, "request_invalid"),
    ({"model": "x" * 100_000}, "request_invalid"),
]


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize(("fields", "code"), FIELDS)
def test_a_wrong_field_is_refused_wherever_it_stands(
    api: ApiService, fields: dict[str, str], code: str, order: str
) -> None:
    parts = b"".join(field(name, value) for name, value in fields.items())
    file = b"--b\r\n" + HEAD + b"data\r\n"
    answer = post(api, (parts + file if order == "before" else file + parts) + b"--b--\r\n")
    said = problem(answer, 422, code)
    assert CANARY not in answer.text
    assert len(str(said["detail"])) < 300
    assert nothing_happened(api)


def test_a_form_without_a_file_is_refused(api: ApiService) -> None:
    problem(post(api, field("threshold", "0.5") + b"--b--\r\n"), 422, "file_missing")
    problem(post(api, b"--b--\r\n"), 422, "file_missing")
    assert nothing_happened(api)


def test_an_empty_file_is_refused(api: ApiService) -> None:
    problem(api.submit(b""), 422, "input_empty")
    assert nothing_happened(api)


@pytest.mark.parametrize("file_name", [b"", b'; filename=""'])
def test_an_empty_file_part_without_a_file_name_counts_as_not_sent(api: ApiService, file_name: bytes) -> None:
    empty = [
        b'--b\r\nContent-Disposition: form-data; name="' + name + b'"' + file_name + b"\r\n\r\n\r\n"
        for name in (b"file", b"previous_file")
    ]
    problem(post(api, b"".join(empty) + b"--b--\r\n"), 422, "file_missing")
    assert nothing_happened(api)
    scan = b"--b\r\n" + HEAD + b"data\r\n"
    answer = post(api, empty[0] + scan + b"".join(empty) + b"--b--\r\n")
    assert answer.status_code == 202, answer.text
    record = api.jobs.load(answer.json()["id"])
    assert [len(record.inputs), len(record.previous_inputs)] == [1, 0]


def test_a_file_part_without_a_file_name_holds_a_file(api: ApiService) -> None:
    named = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
    answer = post(api, named + b"data\r\n--b--\r\n")
    assert answer.status_code == 202, answer.text
    assert [file.size_bytes for file in api.jobs.load(answer.json()["id"]).inputs] == [4]


def test_an_empty_file_among_others_is_refused(api: ApiService) -> None:
    files = [("file", ("a", b"1")), ("file", ("b", b""))]
    problem(api.http.post("/v1/jobs", files=files), 422, "input_empty")
    assert nothing_happened(api)


def test_one_file_more_than_are_taken_is_refused(api: ApiService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "MAX_FILES", 3)
    body = b"".join(b"--b\r\n" + HEAD + b"x\r\n" for _ in range(4))
    said = problem(post(api, body + b"--b--\r\n"), 422, "request_invalid")
    assert "3 files" in str(said["detail"])
    assert nothing_happened(api)


def test_files_over_the_limit_together_are_refused(api: ApiService) -> None:
    half = bytes(api.settings.max_upload_bytes // 2 + 1)
    files = [("file", ("a", half)), ("file", ("b", half))]
    problem(api.http.post("/v1/jobs", files=files), 413, "upload_too_large")
    assert nothing_happened(api)


def test_a_field_that_comes_twice_is_refused(api: ApiService) -> None:
    problem(post(api, field("threshold", "0.5") * 2 + WHOLE), 422, "request_invalid")
    assert nothing_happened(api)


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded", "multipart/mixed; boundary=b", ""]
)
def test_what_is_no_multipart_form_is_refused(api: ApiService, content_type: str) -> None:
    problem(post(api, WHOLE, content_type), 415, "media_type_unsupported")
    assert nothing_happened(api)


MALFORMED = {
    "no boundary in the header": (WHOLE, "multipart/form-data"),
    "an empty boundary": (WHOLE, 'multipart/form-data; boundary=""'),
    "a boundary of 300 characters": (WHOLE, "multipart/form-data; boundary=" + "b" * 300),
    "another boundary": (WHOLE, "multipart/form-data; boundary=other"),
    "no bytes at all": (b"", FORM),
    "only text": (b"hello", FORM),
    "it ends within the file": (b"--b\r\n" + HEAD + b"data", FORM),
    "it ends within the part's header": (b"--b\r\nContent-Dispo", FORM),
    "it ends within the closing boundary": (WHOLE[:-4], FORM),
    "a part without a name": (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", FORM),
    "a part without a disposition": (b"--b\r\nX-A: b\r\n\r\nx\r\n--b--\r\n", FORM),
    "an attachment": (WHOLE.replace(b"form-data", b"attachment"), FORM),
    "a header without a colon": (b"--b\r\nnonsense\r\n\r\nx\r\n--b--\r\n", FORM),
    "a part header of a megabyte": (b"--b\r\nX-A: " + b"a" * (1 << 20) + b"\r\n" + HEAD + b"x\r\n--b--\r\n", FORM),
    "a thousand part headers": (b"--b\r\n" + b"X-A: b\r\n" * 1000 + HEAD + b"x\r\n--b--\r\n", FORM),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_form_is_refused(api: ApiService, case: str) -> None:
    body, content_type = MALFORMED[case]
    problem(post(api, body, content_type), 400, "multipart_invalid")
    assert nothing_happened(api)


def test_more_parts_than_a_form_may_have_are_refused(api: ApiService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "MAX_PARTS", 20)
    said = problem(post(api, b"--b\r\n" + HEAD + b"x\r\n" + field("x", "y") * 20), 400, "multipart_invalid")
    assert "20 parts" in str(said["detail"])
    assert nothing_happened(api)


def test_a_file_of_exactly_the_limit_is_taken(api: ApiService) -> None:
    assert api.submit(bytes(api.settings.max_upload_bytes)).status_code == 202


def test_one_byte_over_the_limit_is_refused(api: ApiService) -> None:
    said = problem(api.submit(bytes(api.settings.max_upload_bytes + 1)), 413, "upload_too_large")
    assert str(api.settings.max_upload_bytes) in str(said["detail"])
    assert nothing_happened(api)


def test_a_length_over_the_limit_is_refused_before_the_first_byte(api: ApiService) -> None:
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\n"
        f"Content-Length: {1 << 40}\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", api.settings.api_port), timeout=10) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(65536)
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"upload_too_large" in answer
    assert nothing_happened(api)


def test_a_sender_that_reads_only_after_its_last_byte_sees_the_refusal(api: ApiService) -> None:
    length = 24 << 20
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: {length}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", api.settings.api_port), timeout=20) as connection:
        connection.sendall(head.encode())
        for _ in range(length >> 16):
            connection.sendall(bytes(1 << 16))
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert nothing_happened(api)


def test_an_upload_without_a_length_is_stopped_at_the_limit(api: ApiService) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b"--b\r\n" + HEAD
        while sent < 64 << 20:
            sent += 1 << 16
            yield bytes(1 << 16)

    answer = api.http.post("/v1/jobs", content=endless(), headers={"Content-Type": FORM})
    problem(answer, 413, "upload_too_large")
    assert nothing_happened(api)


def test_an_endless_epilogue_is_stopped_too(api: ApiService) -> None:
    def body() -> Iterator[bytes]:
        yield WHOLE
        for _ in range(120):
            yield bytes(1 << 16)

    answer = api.http.post("/v1/jobs", content=body(), headers={"Content-Type": FORM})
    problem(answer, 413, "upload_too_large")
    assert nothing_happened(api)


def test_other_routes_take_no_large_body(api: ApiService) -> None:
    answer = api.http.post("/v1/jobs/x/cancel", content=bytes(1 << 20))
    problem(answer, 413, "upload_too_large")


@pytest.mark.parametrize("model", ["attention_unet", "unet_plus_plus"])
def test_an_upload_while_tf_serving_is_down_is_refused(
    own_api: ApiService, own_status_server: StatusServer, model: str
) -> None:
    own_status_server.stop()
    answer = own_api.submit(model=model)
    said = problem(answer, 503, "serving_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert "127.0.0.1" not in str(said)
    assert nothing_happened(own_api)


def test_a_model_that_is_not_loaded_yet_is_refused_for_now(
    own_api: ApiService, own_status_server: StatusServer
) -> None:
    problem(own_api.submit(model="inception_v3_segmenter"), 503, "serving_unavailable")
    own_status_server.versions["inception_v3_segmenter"] = []
    problem(own_api.submit(model="inception_v3_segmenter"), 503, "serving_unavailable")
    own_status_server.versions["inception_v3_segmenter"] = [1]
    assert own_api.submit(model="inception_v3_segmenter").status_code == 202


def test_an_upload_while_redis_is_down_is_refused(tmp_path: Path, own_status_server: StatusServer) -> None:
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    with serving(api_settings(tmp_path, redis_url=nobody, serving_at=own_status_server.target)) as api:
        answer = api.submit()
        problem(answer, 503, "queue_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert nothing_happened(api)


def test_a_job_that_cannot_be_queued_is_erased_again(own_api: ApiService, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise QueueUnavailableError("gone between the ping and now")

    monkeypatch.setattr(own_api.app.state.backends.dispatcher, "enqueue", refuse)
    problem(own_api.submit(b"secret"), 503, "queue_unavailable")
    assert own_api.http.get("/v1/jobs").json()["items"] == []
    [job] = own_api.store.joinpath("jobs").iterdir()
    assert [path.name for path in job.iterdir()] == ["tombstone.json"]


def test_a_store_that_cannot_be_written_refuses_uploads(own_api: ApiService) -> None:
    for path in sorted(own_api.store.rglob("*"), reverse=True):
        path.rmdir()
    own_api.store.rmdir()
    own_api.store.write_text("no folder any more")
    answer = own_api.submit()
    problem(answer, 503, "store_unavailable")
    assert str(own_api.store) not in answer.text


def test_after_all_refusals_a_good_scan_is_taken(api: ApiService) -> None:
    for body, content_type in MALFORMED.values():
        post(api, body, content_type)
    assert api.submit().status_code == 202
