"""Waiting for a job: by events, by polling, and from one to the other."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from fake_api import FakeApi
from phantoms import card

from metseg.schemas.job import Job, JobState
from metseg_client import ApiError, ApiUnreachableError, MetsegClient, WaitTimeoutError
from metseg_client import following as following_module
from metseg_client.following import Event, parse_events

Chunk = bytes | Exception


@dataclass
class Eventful(httpx.BaseTransport):
    """An API that tells jobs by events: each request for them takes the next stream of the list.

    A stream is pieces of its body and, where the line breaks, an error; without one left there are no events.
    """

    api: FakeApi
    streams: list[list[Chunk]]
    asked: list[httpx.Request] = field(default_factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.path.endswith("/events") and self.streams:
            body = Pieces(self.streams.pop(0))
            return httpx.Response(200, headers={"Content-Type": "text/event-stream; charset=utf-8"}, stream=body)
        status, headers, content = self.api.answer(request.method, request.url.path, b"", request.headers)
        return httpx.Response(status, headers=headers, content=content)

    @property
    def last_ids(self) -> list[str | None]:
        """The Last-Event-ID of each request for events."""
        return [one.headers.get("last-event-id") for one in self.asked if one.url.path.endswith("/events")]


@dataclass
class Pieces(httpx.SyncByteStream):
    pieces: list[Chunk]

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following_module, "COME_BACK_S", 0.01)


def event(job: Job, tag: str) -> bytes:
    return f"id: {tag}\nevent: job\ndata: {job.model_dump_json()}\n\n".encode()


def views(api: FakeApi) -> tuple[str, Job, Job]:
    """A job's id, and the job as it runs and as it has succeeded."""
    job_id = api.add_job(run_s=60)
    running = api.jobs[job_id].view()
    api.jobs[job_id].run_s = 0
    return job_id, running, api.jobs[job_id].view()


def waited(transport: httpx.BaseTransport, job_id: str, timeout_s: float = 60) -> list[Job]:
    """Every job that was told while waiting."""
    seen: list[Job] = []
    with MetsegClient("http://api", transport=transport) as client:
        assert client.wait(job_id, on_progress=seen.append, timeout_s=timeout_s) == seen[-1]
    return seen


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
    assert [headers.get("prefer") for headers in asked[:3]] == [None, None, "wait=20"]  # the first is for events
    assert asked[2]["if-none-match"].startswith('"')


def test_waiting_gives_up_after_the_time_given(api: FakeApi, client: MetsegClient) -> None:
    job_id = api.add_job(run_s=60)
    began = time.monotonic()
    with pytest.raises(WaitTimeoutError, match="0.5 s"):
        client.wait(job_id, timeout_s=0.5)
    assert time.monotonic() - began < 3


def test_a_job_is_followed_by_its_events_alone(api: FakeApi) -> None:
    job_id, running, ended = views(api)
    stream: list[Chunk] = [b"retry: 2000\n\n", event(running, "a"), b": still following\n\n", event(ended, "b")]
    eventful = Eventful(api, [stream])
    assert waited(eventful, job_id) == [running, ended]
    assert len(eventful.asked) == 1
    assert eventful.asked[0].headers["accept"] == "text/event-stream"


def test_a_stream_that_breaks_is_taken_up_where_it_broke(api: FakeApi) -> None:
    job_id, running, ended = views(api)
    whole = event(ended, "b")
    broken: list[Chunk] = [event(running, "a"), whole[:40], httpx.ReadError("reset")]
    eventful = Eventful(api, [broken, [httpx.ConnectError("refused")], [b": beat\n\n"], [whole]])
    assert waited(eventful, job_id) == [running, ended]
    assert eventful.last_ids == [None, "a", "a", "a"]


@pytest.mark.parametrize(
    "stream",
    [
        [httpx.ReadTimeout("held back")],
        [b"id: a\nevent: job\ndata: {}\n\n"],
        None,
    ],
)
def test_where_events_do_not_come_through_the_job_is_polled(api: FakeApi, stream: list[Chunk] | None) -> None:
    eventful = Eventful(api, [] if stream is None else [stream])
    seen = waited(eventful, api.add_job(run_s=0.6))
    assert seen[-1].state is JobState.SUCCEEDED
    assert len(seen) >= 2
    assert len(eventful.last_ids) == 1, "tried once, and then left alone"


def test_polling_goes_on_from_the_last_event(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following_module, "MOST_BREAKS", 1)
    job_id, running, _ = views(api)
    eventful = Eventful(api, [[event(running, "a"), httpx.ReadError("reset")]])
    waited(eventful, job_id)
    assert eventful.asked[-1].headers["if-none-match"] == '"a"'


def test_a_job_that_is_gone_ends_the_wait_with_its_reason(api: FakeApi) -> None:
    job_id, running, _ = views(api)
    api.jobs[job_id].deleted = True
    eventful = Eventful(api, [[event(running, "a")]])
    with MetsegClient("http://api", transport=eventful) as client, pytest.raises(ApiError) as caught:
        client.wait(job_id, timeout_s=60)
    assert caught.value.code == "job_gone"


def test_an_api_that_stays_away_is_unreachable_in_the_end(api: FakeApi) -> None:
    job_id, running, _ = views(api)
    eventful = Eventful(api, [[event(running, "a")], *[[httpx.ReadError("reset")]] * 9])
    down: Callable[[httpx.Request], httpx.Response] = eventful.handle_request

    def handle(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/events"):
            raise httpx.ConnectError("refused")
        return down(request)

    with (
        MetsegClient("http://api", transport=httpx.MockTransport(handle)) as client,
        pytest.raises(ApiUnreachableError),
    ):
        client.wait(job_id, timeout_s=60)
    assert len(eventful.last_ids) == following_module.MOST_BREAKS


def test_events_are_parsed_as_the_standard_has_it() -> None:
    text = ": hello\n\nretry: 5\n\ndata:one\ndata: two\n\nid: 7\nevent: job\ndata: x: y\n\nid: 8\n\ndata: cut off"
    assert list(parse_events(text.split("\n"))) == [
        Event("", "message", "one\ntwo"),
        Event("7", "job", "x: y"),
    ]
