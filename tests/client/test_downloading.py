"""Artefacts: whole and checked, or not at all."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fake_api import FakeApi

from metseg_client import ApiUnreachableError, DownloadError, MetsegClient


def test_a_download_appears_whole_under_its_name(api: FakeApi, client: MetsegClient, tmp_path: Path) -> None:
    path = client.download(api.add_job(), "mask.nii.gz", tmp_path / "mask.nii.gz")
    assert path.read_bytes() == api.files["mask.nii.gz"][1]
    assert [child.name for child in tmp_path.iterdir()] == ["mask.nii.gz"]


def test_an_artefact_comes_as_bytes_even_if_empty(api: FakeApi, client: MetsegClient) -> None:
    job_id = api.add_job()
    assert client.fetch(job_id, "mask.nii.gz") == api.files["mask.nii.gz"][1]
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
