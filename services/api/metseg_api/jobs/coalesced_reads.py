"""Looks at jobs for requests that ask once: those that come while a look is going on share the next one."""

from dataclasses import dataclass

import anyio
from anyio.to_thread import run_sync

from metseg.errors import MetsegError
from metseg.schemas.job import Job
from metseg_api.jobs.reader import JobReader


@dataclass
class _Ask:
    """A job that is asked for, by one or by many, and what was found."""

    found: Job | MetsegError | None = None


class FreshLooks:
    """Shared by all requests of one process.

    Where many ask at once, one thread and one question to Redis serve all of them; threads of their own would wait
    for each other's turn in the interpreter. In a store behind a network, where a look is mostly waiting, each has
    its own.
    """

    def __init__(self, reader: JobReader) -> None:
        self._reader = reader
        self._asked: dict[str, _Ask] = {}
        self._turn = anyio.Lock()

    async def read(self, job_id: str) -> Job:
        """The job as it stands, by a look that began after this was called.

        Raises:
            JobNotFoundError: There is no such job.
            JobGoneError: It was deleted, or has expired.
            StoreError: Its record is damaged, or the store does not answer.
        """
        if self._reader.jobs.blobs.is_remote:
            return await run_sync(self._reader.read, job_id)
        ask = self._asked.setdefault(job_id, _Ask())
        async with self._turn:
            found = ask.found or await self._look(job_id, ask)
        if isinstance(found, Exception):
            raise found
        return found

    async def _look(self, job_id: str, ask: _Ask) -> Job | MetsegError:
        """Look at this job and at all that were asked for meanwhile."""
        asked, self._asked = self._asked | {job_id: ask}, {}
        found = await run_sync(self._reader.read_many, list(asked))
        for one, its_ask in asked.items():
            its_ask.found = found[one]
        return found[job_id]
