"""The client against a stand-in API: over a transport, and over a socket where the wire matters."""

import io
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fake_api import FakeApi
from phantoms import card

from metseg.jobs import Failure, Job, JobState, new_job_id
from metseg_client import (
    AnswerError,
    ApiError,
    ApiUnreachableError,
    ClientError,
    DownloadError,
    MetsegClient,
    WaitTimeoutError,
)

FILES = {"mask.nii.gz": ("application/gzip", bytes(range(256)) * 2000), "empty.csv": ("text/csv", b"")}


@pytest.fixture
def api() -> FakeApi:
    return FakeApi([card()], dict(FILES))


@pytest.fixture
def client(api: FakeApi) -> Iterator[MetsegClient]:
    with MetsegClient("http://api", transport=api.transport()) as client:
        yield client


def answering(status: int, content: bytes = b"", **headers: str) -> MetsegClient:
    """A client whose API always answers the same."""
    answer = {name.replace("_", "-"): value for name, value in headers.items()}
    transport = httpx.MockTransport(lambda request: httpx.Response(status, headers=answer, content=content))
    return MetsegClient("http://api", transport=transport)


class CountingStream(io.BytesIO):
    """Remembers how much was asked for at once."""

    largest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.largest = max(self.largest, len(self.getbuffer()) if size is None or size < 0 else size)
        return super().read(size)


def test_a_submitted_file_arrives_whole_after_its_fields_and_without_its_name(
    api: FakeApi, tmp_path: Path
) -> None:
    path = tmp_path / "Mueller^Anna.nii.gz"
    path.write_bytes(b"\x1f\x8bvoxels" * 50_000)
    with api.serving() as url, MetsegClient(url) as client:
        job = client.submit(path, model="unet_plus_plus", threshold=0.3, spacing_mm=(0.5, 0.75))
    assert job.id in api.jobs
    body = api.uploads[0]
    assert path.read_bytes() in body
    assert b"Mueller" not in body
    before = body[: body.index(b'name="file"')]
    assert b"unet_plus_plus" in before
    assert b"\r\n0.3\r\n" in before
    assert b"\r\n0.5,0.75\r\n" in before


def test_what_is_not_given_is_not_sent(api: FakeApi, client: MetsegClient) -> None:
    client.submit(io.BytesIO(b"scan"))
    assert b"threshold" not in api.uploads[0]
    assert api.uploads[0].count(b"form-data") == 1


def test_an_upload_is_read_piece_by_piece(api: FakeApi) -> None:
    stream = CountingStream(bytes(4 << 20))
    with api.serving() as url, MetsegClient(url) as client:
        client.submit(stream)
    assert 0 < stream.largest <= 1 << 20
    assert not stream.closed


def test_a_large_file_never_lies_in_memory_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.nii"
    size = 64 << 20
    with path.open("wb") as file:
        file.truncate(size)
    arrived = 0

    class Swallowing(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal arrived
            assert isinstance(request.stream, httpx.SyncByteStream)
            arrived = sum(len(chunk) for chunk in request.stream)
            return httpx.Response(503)

    tracemalloc.start()
    try:
        with (
            MetsegClient("http://api", transport=Swallowing()) as client,
            pytest.raises(ApiError),
        ):
            client.submit(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert arrived > size
    assert peak < 4 << 20


def test_environment_proxies_never_see_a_scan(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with api.serving() as url, MetsegClient(url) as client:
        assert client.ready()


def test_a_key_goes_with_every_request_and_with_none_there_is_none(api: FakeApi) -> None:
    sent: list[str | None] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("authorization"))
        status, headers, body = api.answer(request.method, request.url.path, request.read(), request.headers)
        return httpx.Response(status, headers=headers, content=body)

    for key in ("metseg_1_secret", None):
        with MetsegClient("http://api", transport=httpx.MockTransport(handle), api_key=key) as client:
            client.fetch(client.submit(io.BytesIO(b"scan")).id, "empty.csv")
    assert sent == ["Bearer metseg_1_secret"] * 3 + [None] * 3


def test_models_come_with_their_cards(client: MetsegClient) -> None:
    (model,) = client.models()
    assert model.card == card()
    assert model.served
    assert model.default


def test_a_job_is_read_although_a_newer_api_says_more(api: FakeApi) -> None:
    job = api.jobs[api.add_job()].view()
    newer = job.model_dump_json().replace('"links":', '"priority":3,"links":').encode()
    with answering(200, newer) as client:
        assert client.job(job.id) == job


def test_jobs_come_newest_first_in_pages(api: FakeApi, client: MetsegClient) -> None:
    older, newer = api.add_job(), api.add_job()
    page = client.jobs(limit=10)
    assert [job.id for job in page.items] == sorted([older, newer], reverse=True)
    assert page.next_cursor is None


def test_waiting_reports_each_change_and_ends_with_the_final_job(api: FakeApi, client: MetsegClient) -> None:
    seen: list[Job] = []
    job = client.wait(api.add_job(run_s=0.8), on_progress=seen.append)
    assert job.state is JobState.SUCCEEDED
    assert seen[-1] == job
    fractions = [one.progress.fraction for one in seen if one.progress]
    assert fractions == sorted(set(fractions))
    assert len(fractions) >= 2


def test_waiting_asks_the_api_to_hold_its_answer() -> None:
    asked: list[httpx.Headers] = []
    api = FakeApi([card()])
    job_id = api.add_job(run_s=0.3)

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers)
        status, headers, body = api.answer(request.method, request.url.path, b"", request.headers)
        return httpx.Response(status, headers=headers, content=body)

    with MetsegClient("http://api", transport=httpx.MockTransport(handle)) as client:
        client.wait(job_id, timeout_s=60)
    assert "prefer" not in asked[0]
    assert asked[1]["prefer"] == "wait=20"
    assert asked[1]["if-none-match"].startswith('"')


def test_waiting_gives_up_after_the_time_given(api: FakeApi, client: MetsegClient) -> None:
    job_id = api.add_job(run_s=60)
    began = time.monotonic()
    with pytest.raises(WaitTimeoutError, match="0.5 s"):
        client.wait(job_id, timeout_s=0.5)
    assert time.monotonic() - began < 3


def test_a_failed_job_is_an_answer_and_no_error(api: FakeApi, client: MetsegClient) -> None:
    failure = Failure(code="input_damaged", message="the file breaks off")
    assert client.wait(api.add_job(failure=failure)).error == failure


def test_a_cancelled_job_says_so(api: FakeApi, client: MetsegClient) -> None:
    assert client.cancel(api.add_job(run_s=60)).state is JobState.CANCELLED


def test_a_deleted_job_is_gone(api: FakeApi, client: MetsegClient) -> None:
    job_id = api.add_job()
    client.delete(job_id)
    with pytest.raises(ApiError) as caught:
        client.job(job_id)
    assert (caught.value.code, caught.value.status) == ("job_gone", 410)


def test_a_download_appears_whole_under_its_name(api: FakeApi, client: MetsegClient, tmp_path: Path) -> None:
    path = client.download(api.add_job(), "mask.nii.gz", tmp_path / "mask.nii.gz")
    assert path.read_bytes() == FILES["mask.nii.gz"][1]
    assert [child.name for child in tmp_path.iterdir()] == ["mask.nii.gz"]


def test_an_artefact_comes_as_bytes_even_if_empty(api: FakeApi, client: MetsegClient) -> None:
    job_id = api.add_job()
    assert client.fetch(job_id, "mask.nii.gz") == FILES["mask.nii.gz"][1]
    assert client.fetch(job_id, "empty.csv") == b""


def test_a_damaged_download_leaves_the_old_file_and_no_part(api: FakeApi, tmp_path: Path) -> None:
    def tamper(request: httpx.Request) -> httpx.Response:
        status, headers, body = api.answer(request.method, request.url.path, b"", request.headers)
        flipped = body[:-1] + b"\x00" if request.url.path.endswith(".gz") else body
        return httpx.Response(status, headers=headers, content=flipped)

    target = tmp_path / "mask.nii.gz"
    target.write_bytes(b"old")
    with (
        MetsegClient("http://api", transport=httpx.MockTransport(tamper)) as client,
        pytest.raises(DownloadError, match="SHA-256"),
    ):
        client.download(api.add_job(), "mask.nii.gz", target)
    assert {child.name: child.read_bytes() for child in tmp_path.iterdir()} == {"mask.nii.gz": b"old"}


def test_a_line_that_breaks_amid_a_download_is_unreachable_and_leaves_nothing(
    api: FakeApi, tmp_path: Path
) -> None:
    class Breaking(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"half"
            raise httpx.ReadError("reset")

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith(".gz"):
            return httpx.Response(200, stream=Breaking())
        status, headers, body = api.answer(request.method, request.url.path, b"", request.headers)
        return httpx.Response(status, headers=headers, content=body)

    with (
        MetsegClient("http://api", transport=httpx.MockTransport(handle)) as client,
        pytest.raises(ApiUnreachableError),
    ):
        client.download(api.add_job(), "mask.nii.gz", tmp_path / "mask.nii.gz")
    assert list(tmp_path.iterdir()) == []


def test_what_the_manifest_does_not_name_cannot_be_fetched(api: FakeApi, client: MetsegClient) -> None:
    with pytest.raises(DownloadError, match=r"no artefact 'job.json'"):
        client.fetch(api.add_job(), "job.json")


def test_an_id_cannot_lead_to_another_path() -> None:
    asked: list[bytes] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(404)

    with (
        MetsegClient("http://api", transport=httpx.MockTransport(handle)) as client,
        pytest.raises(ApiError),
    ):
        client.job("../models?x=1")
    assert asked == [b"/v1/jobs/..%2Fmodels%3Fx%3D1"]


def test_a_problem_becomes_an_error_with_all_its_parts() -> None:
    body = b'{"code": "queue_unavailable", "title": "Queue unavailable", "detail": "Try later.", "status": 503}'
    with answering(503, body, Retry_After="7") as client, pytest.raises(ApiError) as caught:
        client.submit(io.BytesIO(b"scan"))
    error = caught.value
    assert (error.code, error.title, error.detail) == ("queue_unavailable", "Queue unavailable", "Try later.")
    assert (error.status, error.retry_after_s) == (503, 7.0)
    assert str(error) == "Try later."


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"[]", b'{"code": 5}'])
def test_an_error_that_is_no_problem_json_keeps_its_status(body: bytes) -> None:
    with (
        answering(502, body, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT") as client,
        pytest.raises(ApiError) as caught,
    ):
        client.models()
    assert (caught.value.code, caught.value.status, str(caught.value)) == ("http_502", 502, "Bad Gateway")
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>Welcome</html>"), (200, b'{"items": 3}'), (302, b""), (204, b"")]
)
def test_an_answer_of_something_else_is_told_from_one_of_the_api(status: int, body: bytes) -> None:
    with answering(status, body, Location="http://elsewhere/") as client, pytest.raises(AnswerError):
        client.models()


def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with MetsegClient(f"http://127.0.0.1:{port}") as client:
            with pytest.raises(ApiUnreachableError, match=f"127.0.0.1:{port}"):
                client.models()
            assert not client.ready()


def test_a_password_in_the_address_is_not_in_the_message() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with (
        MetsegClient("http://user:secret@api:1", transport=httpx.MockTransport(refuse)) as client,
        pytest.raises(ApiUnreachableError) as caught,
    ):
        client.models()
    assert "secret" not in str(caught.value)


def test_a_silent_api_is_unreachable_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with MetsegClient(url, timeout_s=0.2) as client, pytest.raises(ApiUnreachableError):
            client.models()


def test_an_api_that_is_not_ready_is_an_answer(api: FakeApi, client: MetsegClient) -> None:
    assert client.ready()
    api.down = True
    assert not client.ready()


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.job(new_job_id()),
        lambda client: client.cancel(new_job_id()),
        lambda client: client.delete(new_job_id()),
        lambda client: client.result(new_job_id()),
        lambda client: client.report(new_job_id()),
        lambda client: client.fetch(new_job_id(), "mask.nii.gz"),
    ],
)
def test_every_call_on_an_unknown_job_says_so(
    client: MetsegClient, call: Callable[[MetsegClient], object]
) -> None:
    with pytest.raises(ClientError) as caught:
        call(client)
    assert caught.value.code == "job_not_found"
