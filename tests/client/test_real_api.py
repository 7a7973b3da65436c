"""The client and the real API, with a real store and Redis between them."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_service import ApiService, StatusServer, api_settings, serving, write_cards
from redis_fixture import RedisServer, redis_server

from metseg.schemas.job import Job, JobState, Priority
from metseg_api.webhooks.secrets import SecretBook
from metseg_client import Choices, MetsegClient
from metseg_client.session import scan_files
from metseg_client.wire import Wire

__all__ = ["redis_server"]  # a fixture


@pytest.fixture
def api(tmp_path: Path, redis_server: RedisServer) -> Iterator[ApiService]:
    status_server = StatusServer({"attention_unet": [1]})
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    place = {"redis_url": redis_server.url, "serving_at": status_server.target}
    with serving(api_settings(tmp_path, **place, webhook_hosts="localhost")) as running:
        yield running
    status_server.stop()


def test_a_job_is_sent_with_its_choices_and_followed_by_events_to_its_end(
    api: ApiService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SecretBook(api.jobs.blobs).rotate(None)
    scan = tmp_path / "scan.nii"
    scan.write_bytes(b"scan bytes")
    choices = Choices(priority=Priority.URGENT, webhook_url="http://localhost:9/hook", threshold=0.25)
    asked: list[str] = []
    send = Wire.send

    def note(self: Wire, method: str, path: str, **how: object) -> object:
        asked.append(method)
        return send(self, method, path, **how)

    with MetsegClient(api.url) as client:
        sent = client.submit(scan, choices)
        assert sent.request.model_dump(exclude_none=True) == {
            "model": "attention_unet",
            **choices.model_dump(exclude_none=True),
        }
        monkeypatch.setattr(Wire, "send", note)
        seen: list[Job] = []
        worker = threading.Thread(target=_work, args=(api, sent.id, seen, tmp_path))
        worker.start()
        ended = client.wait(sent.id, on_progress=seen.append)
        worker.join()
    assert [job.state for job in seen] == [JobState.QUEUED, JobState.SUCCEEDED]
    assert seen[0].queue_position == 1
    assert ended == seen[-1]
    assert asked == [], "polled, though there were events"


def test_a_folder_of_files_becomes_the_inputs_of_one_job(api: ApiService, tmp_path: Path) -> None:
    series = tmp_path / "series"
    series.mkdir()
    pieces = [b"slice %d" % number for number in range(12)]
    for number, piece in enumerate(pieces):
        (series / f"{number:02}.dcm").write_bytes(piece)
    with MetsegClient(api.url) as client:
        sent = client.submit(scan_files([series]), Choices(series_uid="1.2.840.1"))
    record = api.jobs.load(sent.id)
    assert record.request.series_uid == "1.2.840.1"
    assert [api.jobs.blobs.get(one.key) for one in record.inputs] == pieces


def _work(api: ApiService, job_id: str, seen: list[Job], scratch: Path) -> None:
    until = time.monotonic() + 60
    while not seen and time.monotonic() < until:
        time.sleep(0.05)
    (scratch / "made").mkdir()
    api.succeed(job_id, {"mask.nii.gz": b"mask"}, scratch / "made")
