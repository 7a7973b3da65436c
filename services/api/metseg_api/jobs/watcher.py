"""Looks at the jobs that somebody follows, once for all who follow one and with a share of a core at most.

A job is looked at as soon as it is heard to have changed, and every fifth of a second in any case: news may get
lost.
"""

import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, cast

import anyio
from anyio.to_thread import run_sync
from fastapi import Depends, Request

from metseg.errors import StoreUnavailableError
from metseg.schemas.job import Job
from metseg_api.errors import TooManyFollowersError
from metseg_api.jobs.coalesced_reads import FreshLooks
from metseg_api.jobs.reader import JobReader, entity_tag

LOOK_EVERY_S = 0.2
REST_SHARE = 4
"""After a round of looks comes a rest of at least so many times the processor time that it took: thousands of
followers make the news late, not the service slow. A disk that hesitates takes none."""
MOST_FOLLOWERS = 2000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """What a look at a job, begun at that time of the monotonic clock, found: the job, or why there is none."""

    began: float
    found: Job | Exception


@dataclass
class Seen:
    """A followed job as it was seen last; only the newest look is kept, however slow its followers are."""

    _look: Look
    followers: int = 0
    _changed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def job(self) -> Job:
        """The job.

        Raises:
            JobNotFoundError: It is not there any more.
            JobGoneError: It was deleted.
            StoreError: Its record is damaged.
        """
        if isinstance(self._look.found, Exception):
            raise self._look.found
        return self._look.found

    async def change(self, within_s: float) -> bool:
        """Wait for the next change; False if none came within that time."""
        with anyio.move_on_after(within_s):
            await self._changed.wait()
            return True
        return False

    def take(self, look: Look) -> None:
        """Note a look, unless a later one was faster, and wake the followers if it is news."""
        if look.began < self._look.began:
            return
        is_news = _mark(look) != _mark(self._look)
        self._look = look
        if is_news:
            self._changed.set()
            self._changed = anyio.Event()


class JobWatch:
    """Shared by all requests of one process; `run` is to run beside them.

    Attributes:
        fresh: For requests that look once and do not follow.
    """

    def __init__(self, reader: JobReader) -> None:
        self._reader = reader
        self.fresh = FreshLooks(reader)
        self._seen: dict[str, Seen] = {}
        self._heard: set[str] = set()
        self._wanted, self._news = anyio.Event(), anyio.Event()

    @property
    def followers(self) -> int:
        """How many follow a job now."""
        return sum(seen.followers for seen in list(self._seen.values()))

    def check_room(self) -> None:
        """Make sure that one more may follow.

        Raises:
            TooManyFollowersError: It would be one too many.
        """
        if self.followers >= MOST_FOLLOWERS:
            raise TooManyFollowersError(f"More than {MOST_FOLLOWERS} requests follow jobs here.")

    @asynccontextmanager
    async def following(self, job_id: str) -> AsyncIterator[Seen]:
        """Follow a job; the first look is a fresh one.

        Raises:
            JobNotFoundError: There is no such job.
            JobGoneError: It was deleted.
            StoreUnavailableError: The store does not answer.
            TooManyFollowersError: Too many follow jobs already.
        """
        self.check_room()
        began = time.monotonic()
        look = Look(began, await self.fresh.read(job_id))
        seen = self._seen.setdefault(job_id, Seen(look))
        seen.take(look)
        seen.followers += 1
        self._wanted.set()
        try:
            yield seen
        finally:
            seen.followers -= 1
            if not seen.followers:
                del self._seen[job_id]

    def hear(self, job_id: str) -> None:
        """Look at a job soon, if anybody follows it."""
        if job_id in self._seen:
            self._heard.add(job_id)
            self._news.set()

    async def run(self) -> None:
        """Look at what is followed, again and again."""
        next_round = 0.0
        while True:
            await self._wanted.wait()
            began = time.monotonic()
            is_round = began >= next_round
            busy_s = await self._look(self._seen if is_round else self._heard & self._seen.keys())
            if not self._seen:
                self._wanted = anyio.Event()
            rest_s = REST_SHARE * busy_s
            if is_round:
                next_round = time.monotonic() + max(LOOK_EVERY_S, rest_s)
            await anyio.sleep(rest_s)
            with anyio.move_on_after(max(next_round - time.monotonic(), 0)):
                await self._news.wait()

    async def _look(self, job_ids: Iterable[str]) -> float:
        """Look at these jobs and return the seconds of processor time that it took."""
        wanted = list(job_ids)
        self._heard.clear()
        self._news = anyio.Event()
        looks, busy_s = await run_sync(self._looks, wanted)
        for job_id, look in looks.items():
            if job_id in self._seen:
                self._seen[job_id].take(look)
        return busy_s

    def _looks(self, job_ids: Iterable[str]) -> tuple[dict[str, Look], float]:
        began, busy_before = time.monotonic(), time.thread_time()
        looks: dict[str, Look] = {}
        for job_id, found in self._reader.read_many(job_ids).items():
            if isinstance(found, StoreUnavailableError):  # for a while: what was seen last stands
                _log.warning("a followed job cannot be read", extra={"job_id": job_id, "code": found.code})
            else:  # also where it is gone, or its record is damaged
                looks[job_id] = Look(began, found)
        return looks, time.thread_time() - busy_before


def _mark(look: Look) -> str:
    return type(look.found).__name__ if isinstance(look.found, Exception) else entity_tag(look.found)


async def _from_request(request: Request) -> JobWatch:  # a plain function would take a thread each time
    return cast(JobWatch, request.app.state.watch)


WatchOf = Annotated[JobWatch, Depends(_from_request)]
