"""A job followed until it has ended: by server-sent events, and by polling where those do not come through.

An event's id is the job's ETag, so a follower can change over between the two and hears nothing twice.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from metseg.schemas.job import Job
from metseg_client.errors import AnswerError, ApiError, ApiUnreachableError
from metseg_client.problems import parsed
from metseg_client.wire import Wire

LONGEST_HOLD_S = 20
SHORTEST_POLL_S = 0.25
SILENCE_S = 40.0
"""A stream that has been still for so long is broken: the API sends a comment every 15 s."""
POLLED_END_S = 20.0
"""The last stretch before the deadline is polled, which keeps to it; a stream is read until something comes."""
MOST_BREAKS = 5
"""A stream that breaks is taken up again; after so many breaks with no event in between polling takes over."""
COME_BACK_S = 1.0
"""Before it is taken up again, and once more so long each time that brought nothing."""
MEDIA_TYPE = "text/event-stream"


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    id: str
    name: str
    data: str


def job_path(job_id: str) -> str:
    """Where the API answers for a job, whatever the id holds."""
    return f"/v1/jobs/{quote(job_id, safe='')}"


def follow(wire: Wire, job_id: str, *, until: float) -> Iterator[Job]:
    """The job as it is and again after each change, until it has ended or the time is over.

    Args:
        wire: the API.
        job_id: the job.
        until: the deadline, by `time.monotonic()`.
    """
    tag: str | None = None
    breaks = 0
    while breaks < MOST_BREAKS and until - time.monotonic() > POLLED_END_S:
        try:
            for event in _events(wire, job_id, tag, until - POLLED_END_S):
                tag, breaks = event.id, 0
                job = _job(event)
                yield job
                if job.state.is_final:
                    return
        except (ApiError, AnswerError):
            break  # there are no events to be had; what is amiss with the job itself, polling tells
        except ApiUnreachableError:
            if tag is None:  # something on the way holds the stream back, or nobody is there
                break
        breaks += 1
        time.sleep(max(min(COME_BACK_S * breaks, until - time.monotonic()), 0))
    yield from _polled(wire, job_id, tag, until)


def parse_events(lines: Iterable[str]) -> Iterator[Event]:
    """The events in a stream's lines (HTML standard, section 9.2.6); an event without data is none."""
    fields: dict[str, list[str]] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
            continue
        if "data" in fields:
            last = {name: values[-1] for name, values in fields.items()}
            yield Event(last.get("id", ""), last.get("event", "message"), "\n".join(fields["data"]))
        fields = {}


def _events(wire: Wire, job_id: str, tag: str | None, until: float) -> Iterator[Event]:
    """The events that tell the job, from where `tag` left off, until the stream ends or the time is over."""
    headers = {"Accept": MEDIA_TYPE} | ({} if tag is None else {"Last-Event-ID": tag})
    silence_s = min(SILENCE_S, until - time.monotonic())
    timeout = httpx.Timeout(wire.timeout_s, read=silence_s)
    with wire.stream("GET", f"{job_path(job_id)}/events", headers=headers, timeout=timeout) as response:
        if not response.headers.get("content-type", "").startswith(MEDIA_TYPE):
            raise AnswerError("expected a stream of events")
        for event in parse_events(_in_time(response.iter_lines(), until)):
            if event.name == "job":
                yield event


def _in_time(lines: Iterable[str], until: float) -> Iterator[str]:
    for line in lines:
        if time.monotonic() > until:
            return
        yield line


def _job(event: Event) -> Job:
    try:
        return Job.model_validate_json(event.data, extra="ignore")
    except ValidationError:
        raise AnswerError("expected a job in the event stream, and something else came") from None


def _polled(wire: Wire, job_id: str, tag: str | None, until: float) -> Iterator[Job]:
    while True:
        asked = time.monotonic()
        job, tag = _changed_job(wire, job_id, tag, hold_s=min(LONGEST_HOLD_S, until - asked))
        if job is not None:
            yield job
            if job.state.is_final:
                return
        now = time.monotonic()
        if now >= until:
            return
        time.sleep(min(max(asked + SHORTEST_POLL_S - now, 0), until - now))


def _changed_job(wire: Wire, job_id: str, tag: str | None, *, hold_s: float) -> tuple[Job | None, str | None]:
    """The job if it is no longer the one behind `tag`, after at most `hold_s`; else None."""
    headers = {} if tag is None else {"If-None-Match": f'"{tag}"', "Prefer": f"wait={max(int(hold_s), 0)}"}
    timeout = httpx.Timeout(wire.timeout_s, read=wire.timeout_s + max(hold_s, 0))
    response = wire.send("GET", job_path(job_id), headers=headers, timeout=timeout)
    if response.status_code == httpx.codes.NOT_MODIFIED:
        return None, tag
    return parsed(response, Job), response.headers.get("etag", "").strip('"') or None
