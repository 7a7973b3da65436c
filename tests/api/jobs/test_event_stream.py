"""Server-sent events: each change of a job, resumed after a line that broke, and many at once."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import httpx
import pytest
from api_service import ApiService, problem
from following import end, ended, progress, soon, timed

from metseg.schemas.job import Job, JobRequest, JobState, ModelRef, new_job_id
from metseg_api.jobs import event_stream, watcher
from metseg_api.jobs.watcher import Look, Seen

Event = dict[str, str]


@contextmanager
def listening(
    api: ApiService, job_id: str, last_id: str | None = None, *, comments: bool = False
) -> Iterator[Iterator[Event]]:
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    with httpx.stream("GET", f"{api.url}/v1/jobs/{job_id}/events", headers=headers, timeout=30) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        blocks = parsed(answer.iter_lines())
        yield blocks if comments else (block for block in blocks if "" not in block)


def parsed(lines: Iterator[str]) -> Iterator[Event]:
    """Each block of lines; a comment is the field without a name."""
    block: Event = {}
    for line in lines:
        if not line:
            yield block
            block = {}
        else:
            name, _, value = line.partition(": ")
            block[name.removesuffix(":")] = value


def told(block: Event) -> Job:
    assert block["event"] == "job"
    return Job.model_validate_json(block["data"])


def test_each_change_is_an_event_and_the_final_state_the_last_one(api: ApiService) -> None:
    job_id = api.submitted()
    with listening(api, job_id) as blocks:
        assert int(next(blocks)["retry"]) >= 1000
        assert told(next(blocks)).state is JobState.QUEUED
        api.jobs.claim(job_id, 1)
        assert told(next(blocks)).state is JobState.RUNNING
        api.dispatcher.write_progress(job_id, progress(0.5))
        told_progress = told(next(blocks)).progress
        assert told_progress is not None
        assert told_progress.fraction == 0.5
        end(api, job_id)
        last = next(blocks)
        assert told(last).state is JobState.FAILED
        assert list(blocks) == []
    answer = api.http.get(f"/v1/jobs/{job_id}")
    assert json.loads(last["data"]) == answer.json()
    assert answer.headers["etag"] == f'"{last["id"]}"'


def test_a_change_that_is_heard_of_is_an_event_without_waiting_for_the_next_look(
    own_api: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "LOOK_EVERY_S", 60.0)
    job_id = own_api.submitted()
    with listening(own_api, job_id) as blocks:
        next(blocks)
        assert told(next(blocks)).state is JobState.QUEUED
        own_api.jobs.claim(job_id, 1)
        own_api.dispatcher.write_progress(job_id, progress(0.5))
        assert told(next(blocks)).state is JobState.RUNNING
        end(own_api, job_id)
        own_api.dispatcher.tell_end(ended(JobState.FAILED, "input_damaged", job_id), {})
        assert told(next(blocks)).state is JobState.FAILED


def test_who_comes_back_is_told_only_what_it_does_not_know(api: ApiService) -> None:
    job_id = api.submitted()
    with listening(api, job_id) as blocks:
        next(blocks)
        known = next(blocks)["id"]
    with soon(lambda: api.jobs.claim(job_id, 1)), listening(api, job_id, known) as blocks:
        next(blocks)
        assert told(next(blocks)).state is JobState.RUNNING
    end(api, job_id)  # while nobody listened
    with listening(api, job_id, known) as blocks:
        next(blocks)
        last = next(blocks)
        assert told(last).state is JobState.FAILED
    again = api.http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last["id"]})
    assert (again.status_code, again.content) == (204, b"")


def test_an_id_that_nobody_gave_is_as_good_as_none(api: ApiService) -> None:
    with listening(api, api.submitted(), "MUSTERMANN") as blocks:
        next(blocks)
        assert "MUSTERMANN" not in next(blocks)["data"]


def test_a_quiet_line_is_kept_alive_by_comments(api: ApiService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "BEAT_S", 0.2)
    with listening(api, api.submitted(), comments=True) as blocks:
        next(blocks)
        next(blocks)
        assert next(blocks) == {"": "still following"}
        assert next(blocks) == {"": "still following"}


def test_no_stream_goes_on_for_ever(api: ApiService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MOST_STREAM_S", 0.5)
    with listening(api, api.submitted()) as blocks:
        assert sum("event" in block for block in blocks) == 1


def test_deleting_the_job_ends_its_stream(api: ApiService) -> None:
    job_id = api.submitted()
    with soon(lambda: api.http.delete(f"/v1/jobs/{job_id}")), listening(api, job_id) as blocks:
        assert len([block for block in blocks if "event" in block]) <= 2  # the wish to stop may be seen first
    problem(api.http.get(f"/v1/jobs/{job_id}/events"), 410, "job_gone")


def test_there_are_no_events_of_what_is_no_job(api: ApiService) -> None:
    problem(api.http.get(f"/v1/jobs/{new_job_id()}/events"), 404, "job_not_found")
    problem(api.http.get("/v1/jobs/MUSTERMANN/events"), 404, "job_not_found")


def test_one_follower_too_many_is_refused_until_another_leaves(
    api: ApiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "MOST_FOLLOWERS", 1)
    path = f"/v1/jobs/{api.submitted()}"
    monkeypatch.setattr(event_stream, "BEAT_S", 0.2)
    with listening(api, path.removeprefix("/v1/jobs/")) as blocks:
        next(blocks)
        next(blocks)
        refused = api.http.get(f"{path}/events")
        problem(refused, 503, "too_many_followers")
        assert int(refused.headers["retry-after"]) >= 1
        problem(api.http.get(path, headers={"Prefer": "wait=1"}), 503, "too_many_followers")
        assert api.http.get(path).status_code == 200
    until = time.monotonic() + 10
    while api.http.get(path, headers={"Prefer": "wait=0"}).status_code == 503:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_damaged_record_ends_its_own_stream_and_no_other(api: ApiService) -> None:
    damaged, sound = api.submitted(), api.submitted()
    with listening(api, sound) as others:
        next(others)
        next(others)
        with pytest.raises(httpx.RemoteProtocolError), listening(api, damaged) as blocks:  # noqa: PT012
            next(blocks)
            next(blocks)
            (api.store / "jobs" / damaged / "final.json").write_text("{")
            list(blocks)
        end(api, sound)
        assert told(next(others)).state is JobState.FAILED


def test_two_hundred_streams_hear_of_the_end_and_others_are_served_meanwhile(api: ApiService) -> None:
    job_id = api.submitted()
    request = f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    threads = threading.active_count()
    with ExitStack() as stack:
        streams = []
        for _ in range(200):
            connection = socket.create_connection(("127.0.0.1", api.settings.api_port), timeout=30)
            stream = stack.enter_context(stack.enter_context(connection).makefile("rb"))
            connection.sendall(request)
            streams.append(stream)
        for stream in streams:
            while b'"queued"' not in stream.readline():
                pass
        _, took_s = timed(lambda: api.http.get("/healthz"))
        assert threading.active_count() <= threads + 60  # a stream takes no thread
        end(api, job_id)
        for stream in streams:
            while b'"failed"' not in stream.readline():
                pass
    assert took_s < 5


def test_a_look_that_was_overtaken_turns_nothing_back() -> None:
    def job(state: JobState) -> Job:
        model = ModelRef(name="attention_unet", version=1, digest="0" * 64)
        now = datetime(2026, 11, 23, tzinfo=UTC)
        return Job(id=new_job_id(), state=state, created_at=now, model=model, request=JobRequest())

    seen = Seen(Look(1.0, job(JobState.QUEUED)))
    seen.take(Look(3.0, job(JobState.SUCCEEDED)))
    seen.take(Look(2.0, job(JobState.RUNNING)))
    assert seen.job.state is JobState.SUCCEEDED
