"""Sending scans: every file whole, no name, little memory."""

import io
import socket
import threading
import tracemalloc
from pathlib import Path

import httpx
import psutil
import pytest
from fake_api import FakeApi

from metseg.schemas.job import Priority
from metseg_client import ApiError, Choices, MetsegClient


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
        job = client.submit(path, Choices(model="unet_plus_plus", threshold=0.3, spacing_mm=(0.5, 0.75)))
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


def test_every_choice_reaches_the_form(api: FakeApi, client: MetsegClient) -> None:
    choices = Choices(
        series_uid="1.2.840.1",
        priority=Priority.URGENT,
        webhook_url="https://receiver.example.org/hook",
        previous=("a", "b"),
        previous_series_uid="1.2.840.2",
    )
    client.submit(io.BytesIO(b"scan"), choices)
    for name, value in [
        ("series_uid", "1.2.840.1"),
        ("priority", "urgent"),
        ("webhook_url", choices.webhook_url),
        ("previous", "a,b"),
        ("previous_series_uid", "1.2.840.2"),
    ]:
        assert f'name="{name}"\r\n\r\n{value}\r\n'.encode() in api.uploads[0]


def test_the_files_of_a_series_go_in_one_request_each_as_a_part_and_without_its_name(
    api: FakeApi, tmp_path: Path
) -> None:
    files = [tmp_path / f"Mueller^Anna.{number}.dcm" for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(b"slice %d" % number)
    with api.serving() as url, MetsegClient(url) as client:
        client.submit([*files, io.BytesIO(b"slice 3")])
    [body] = api.uploads
    assert body.count(b'name="file"') == 4
    places = [body.index(b"slice %d" % number) for number in range(4)]
    assert places == sorted(places)
    assert b"Mueller" not in body


def test_a_series_of_many_files_is_announced_by_its_length_and_opened_one_after_the_other(
    api: FakeApi, tmp_path: Path
) -> None:
    files = [tmp_path / str(number) for number in range(50)]
    for file in files:
        file.write_bytes(b"slice")
    open_at_once: list[int] = []

    class Counting(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            assert isinstance(request.stream, httpx.SyncByteStream)
            length = 0
            for chunk in request.stream:
                length += len(chunk)
                opened = [Path(one.path).parent for one in psutil.Process().open_files()]
                open_at_once.append(opened.count(tmp_path))
            assert int(request.headers["content-length"]) == length
            return httpx.Response(503)

    with MetsegClient("http://api", transport=Counting()) as client, pytest.raises(ApiError):
        client.submit(files)
    assert max(open_at_once) == 1


def test_a_file_that_is_not_there_is_told_before_anything_is_sent(api: FakeApi, client: MetsegClient) -> None:
    with pytest.raises(FileNotFoundError):
        client.submit([Path("no such file")])
    assert api.requests == []


def test_an_earlier_scan_goes_along_as_parts_of_their_own_without_a_name(api: FakeApi, tmp_path: Path) -> None:
    earlier = tmp_path / "Mueller^Anna.zip"
    earlier.write_bytes(b"earlier")
    with api.serving() as url, MetsegClient(url) as client:
        client.submit(io.BytesIO(b"now"), previous_scan=[earlier, io.BytesIO(b"more")])
    [body] = api.uploads
    assert body.count(b'name="file"') == 1
    assert body.count(b'name="previous_file"') == 2
    assert body.index(b"now") < body.index(b"earlier") < body.index(b"more")
    assert b"Mueller" not in body


def test_an_upload_that_is_refused_amid_a_file_leaves_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(bytes(8 << 20))
    refusal = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    known = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(refusal)
                connection.shutdown(socket.SHUT_WR)
                known.wait(10)

        api = threading.Thread(target=refuse)
        api.start()
        with (
            MetsegClient(f"http://127.0.0.1:{server.getsockname()[1]}") as client,
            pytest.raises(ApiError) as refused,
        ):
            client.submit(path)
        assert refused.value.status == 503
        assert str(path) not in [file.path for file in psutil.Process().open_files()]
        known.set()
        api.join()
