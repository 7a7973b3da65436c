"""A worker's answer to every job without the work, so that a job's whole life can be seen over HTTP alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from api_service import ApiService
from following import end

from metseg.errors import JobGoneError, JobNotFoundError

ARTEFACTS = {"mask.nii.gz": b"a mask", "lesions.csv": b"label,voxels\n1,40\n"}
LOOK_EVERY_S = 0.05
LOOKED_AT = 20


@contextmanager
def working(api: ApiService, scratch: Path) -> Iterator[None]:
    """End each of the newest jobs soon after it was accepted: three of four succeed, the others fail."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(LOOK_EVERY_S):
            for job_id in api.jobs.ids(limit=LOOKED_AT):
                with suppress(JobGoneError, JobNotFoundError, AssertionError):  # deleted or cancelled meanwhile
                    _finish(api, job_id, scratch)

    thread = threading.Thread(target=work, name="instant worker")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _finish(api: ApiService, job_id: str, scratch: Path) -> None:
    if api.jobs.final(job_id) is not None:
        return
    if job_id[-1] in "0123":
        end(api, job_id)
    else:
        api.succeed(job_id, ARTEFACTS, scratch)
