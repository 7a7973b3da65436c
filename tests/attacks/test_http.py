"""Tricks with addresses and headers: nothing is found that is not there, nothing is taken for what it is not."""

import json
import time
from pathlib import Path

import pytest
from api_service import ApiService, problem
from raw_http import Answer, get, send, send_and_read_all

from metseg_api.auth.api_keys import KeyFile, Scope

CANARY = "MUSTERMANN"
PATHS = {
    "climbing": b"/v1/jobs/../../etc/passwd",
    "climbing, encoded": b"/v1/jobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "climbing, encoded twice": b"/v1/jobs/%252e%252e%252fetc",
    "climbing with backslashes": b"/v1/jobs/..\\..\\etc",
    "climbing to a route that there is": b"/x/../healthz",
    "two slashes": b"//healthz",
    "a slash at the end": b"/healthz/",
    "a NUL": b"/healthz%00",
    "a line break": b"/healthz%0d%0aX-Evil:%201",
    "overlong UTF-8": b"/v1/jobs/%c0%ae%c0%ae/x",
    "broken UTF-8": b"/v1/jobs/%ff%fe",
    "path parameters": b"/v1/jobs;admin=1",
    "another case": b"/V1/JOBS",
    "a fragment": b"/healthz%23x",
    "the whole of it encoded": b"/%68%65%61%6c%74%68%7a%2f",
    "very long": b"/v1/jobs/" + b"a" * 30_000,
}
POST = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n"
NOT_HTTP = {
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a header without a name": b"GET /healthz HTTP/1.1\r\n: x\r\n\r\n",
    "a blank in a header's name": b"GET /healthz HTTP/1.1\r\nHost : x\r\nX Y: z\r\n\r\n",
    "a NUL in a header": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: a\0b\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "a negative length": POST + b"Content-Length: -5\r\n\r\nabcde",
    "a length in words": POST + b"Content-Length: five\r\n\r\nabcde",
    "an unknown transfer": POST + b"Transfer-Encoding: gzip, identity\r\n\r\n",
    "a chunk of no size": POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "headers without end": b"GET /healthz HTTP/1.1\r\n" + b"X-A: " + b"a" * 200_000,
}
PRETENCES = {
    "another method": b"X-HTTP-Method-Override: DELETE",
    "another address": b"X-Original-URL: /metrics",
    "a rewritten address": b"X-Rewrite-URL: /metrics",
    "this machine": b"X-Forwarded-For: 127.0.0.1",
    "a proxy's host": b"X-Forwarded-Host: evil.example",
    "another protocol": b"Upgrade: h2c\r\nConnection: Upgrade",
    "a web socket": b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: YQ==",
}


@pytest.mark.parametrize("trick", PATHS)
def test_an_address_is_taken_by_the_letter(api: ApiService, trick: str) -> None:
    answer = get(api, PATHS[trick])
    assert code_of(answer) in ("route_not_found", "job_not_found")
    assert "x-evil" not in answer.headers


@pytest.mark.parametrize("trick", NOT_HTTP)
def test_what_is_no_http_is_refused_or_cut_off(api: ApiService, trick: str) -> None:
    answer = send(api, NOT_HTTP[trick])
    assert answer.status in (0, 400, 404, 415, 431)
    assert api.http.get("/healthz").status_code == 200
    assert api.stored() == []


@pytest.mark.parametrize("pretence", PRETENCES)
def test_a_header_makes_no_other_request_of_it(api: ApiService, pretence: str) -> None:
    job_id = api.submitted()
    answer = get(api, f"/v1/jobs/{job_id}".encode(), PRETENCES[pretence])
    assert answer.status == 200
    assert json.loads(answer.body)["id"] == job_id


def test_no_answer_carries_the_host_that_was_asked_for(locked: ApiService) -> None:
    _, key = KeyFile(locked.settings.keys).create("anna", [Scope.SUBMIT])
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nscan\r\n--b--\r\n'
    head = (
        "POST /v1/jobs HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\n"
        f"X-Forwarded-Proto: ftp\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = send(locked, head.encode() + body)
    assert answer.status == 202
    assert answer.headers["location"].startswith("/v1/jobs/")
    assert b"evil" not in answer.body + json.dumps(answer.headers).encode()


def test_a_request_hidden_behind_another_ones_body_is_not_answered(api: ApiService) -> None:
    hidden = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = POST + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n"
    told = send_and_read_all(api, head % len(hidden) + b"0\r\n\r\n" + hidden)
    assert told.count(b"HTTP/1.1 ") == 1
    assert told.startswith(b"HTTP/1.1 400 ")
    assert b"request_ambiguous" in told
    assert b"serving_reachable" not in told


@pytest.mark.parametrize(
    "path",
    ["/v1%2fmodels", "/v1/jobs%2F{}", "/v1/jobs/{}%2fresult", "/v1/jobs/{}/result%2Fmask.nii.gz", "%2fv1/models"],
)
def test_an_encoded_slash_is_no_slash(api: ApiService, tmp_path: Path, path: str) -> None:
    job_id = api.submitted()
    api.succeed(job_id, {"mask.nii.gz": b"mask"}, tmp_path)
    assert code_of(get(api, path.format(job_id).encode())) in ("route_not_found", "job_not_found")


def test_a_query_cannot_smuggle_a_second_value(api: ApiService) -> None:
    for query in ("limit=1&limit=x", "cursor=..%2f..", "state=queued%00", "limit[]=1&limit=201"):
        problem(api.http.get(f"/v1/jobs?{query}"), 422, "request_invalid")


@pytest.mark.parametrize(
    "asked", ["0-0," * 3000 + "0-0", "0-" + "9" * 5000, "-" + "9" * 18, "0-0,1-1", "00000-0x1"]
)
def test_many_or_huge_ranges_cost_no_more_than_the_file(api: ApiService, tmp_path: Path, asked: str) -> None:
    job_id = api.submitted()
    api.succeed(job_id, {"mask.nii.gz": b"0123456789"}, tmp_path)
    began = time.monotonic()
    answer = api.http.get(f"/v1/jobs/{job_id}/result/mask.nii.gz", headers={"Range": f"bytes={asked}"})
    assert answer.status_code in (200, 206)
    assert answer.content == b"0123456789"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "name",
    [
        "../../job.json",
        "..%2f..%2fjob.json",
        "lease.json",
        "end.json",
        "%2e%2e",
        "mask.nii.gz%00",
        ".",
        "a" * 5000,
    ],
)
def test_only_the_artefacts_of_a_result_can_be_had(api: ApiService, tmp_path: Path, name: str) -> None:
    job_id = api.submitted()
    api.succeed(job_id, {"mask.nii.gz": b"mask"}, tmp_path)
    answer = get(api, f"/v1/jobs/{job_id}/result/{name}".encode())
    assert code_of(answer) in ("artefact_not_found", "route_not_found")
    assert b"sha256" not in answer.body


def test_a_packed_body_is_not_unpacked(api: ApiService) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "multipart/form-data; boundary=b"}
    problem(
        api.http.post("/v1/jobs", content=b"\x1f\x8b\x08" + bytes(100), headers=headers), 400, "multipart_invalid"
    )


@pytest.mark.parametrize("header", ["If-None-Match", "Prefer", "Last-Event-ID", "If-Range", "Range"])
def test_a_header_is_never_repeated_in_an_answer(api: ApiService, tmp_path: Path, header: str) -> None:
    job_id = api.submitted()
    api.succeed(job_id, {"mask.nii.gz": b"mask"}, tmp_path)
    for tail in ("", "/events", "/result", "/result/mask.nii.gz"):
        answer = api.http.get(f"/v1/jobs/{job_id}{tail}", headers={header: f"<script>{CANARY}</script>"})
        assert answer.status_code == 200
        assert CANARY not in answer.text + str(answer.headers)


def code_of(answer: Answer) -> str:
    code: str = json.loads(answer.body)["code"]
    return code
