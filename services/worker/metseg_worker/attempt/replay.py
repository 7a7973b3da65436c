"""Makes the result of a job again and compares it with the stored one: `metseg-worker replay <job>`.

It shows that a result can be traced to its input, model and build, and finds where a new build, server or device
answers otherwise. Nothing is stored and the job stays as it is.
"""

import sys
from contextlib import closing
from typing import Final

from metseg.errors import JobStateError, MetsegError
from metseg.jobs.store import JobStore
from metseg.models.library import ModelLibrary
from metseg.schemas.job import JobState, Stage
from metseg.serving.client import ServingClient
from metseg.storage.checksums import sha256_of
from metseg.storage.open import open_blob_store
from metseg_worker.pipeline.predict import Patience
from metseg_worker.pipeline.process_job import Dependencies, make_files
from metseg_worker.scratch import scratch
from metseg_worker.settings import WorkerSettings

NO_ATTEMPT: Final = 0
SAME, FAILED, DIFFERENT = 0, 1, 3
"""Exit codes."""


def replay(dependencies: Dependencies, job_id: str) -> dict[str, str]:
    """Make a job's artefacts again.

    Returns:
        Of each artefact, then or now: `same`, `differs`, `missing` (was there then) or `new`.

    Raises:
        JobNotFoundError, JobGoneError: there is no such job any more.
        JobStateError: it has no result to compare with.
        MetsegError: it cannot be made again; the narrowest class that fits.
    """
    record, final = dependencies.store.load(job_id), dependencies.store.final(job_id)
    if final is None or final.state is not JobState.SUCCEEDED:
        raise JobStateError("expected a job that succeeded, for only that has a result to compare with")
    stored = {artefact.name: artefact.sha256 for artefact in final.artefacts}
    with scratch(job_id, NO_ATTEMPT) as folder:
        files = make_files(dependencies, record, folder, check=_go_on, on_progress=_tell_nobody)
        made = {path.name: sha256_of(path) for path, _ in files}
    return {name: _verdict(stored.get(name), made.get(name)) for name in sorted(stored | made)}


def replay_command(job_id: str) -> int:
    """Run `replay` by the environment's settings and tell each artefact on standard output.

    Returns:
        0 where all are the same, 3 where one is not, 1 where the job cannot be made again.
    """
    try:
        settings = WorkerSettings.from_env()
        store = JobStore(open_blob_store(settings.store))
        with closing(ServingClient(settings.serving, timeout_s=settings.predict_timeout_s)) as serving:
            patience = Patience(settings.serving_patience_s)
            dependencies = Dependencies(
                store, ModelLibrary(settings.models), serving, settings.serving_device, patience
            )
            verdicts = replay(dependencies, job_id)
    except MetsegError as exc:
        sys.stderr.write(f"metseg-worker replay: {exc}\n")
        return FAILED
    for name, verdict in verdicts.items():
        sys.stdout.write(f"{verdict:8}{name}\n")
    return SAME if set(verdicts.values()) == {"same"} else DIFFERENT


def _verdict(then: str | None, now: str | None) -> str:
    if then is None:
        return "new"
    if now is None:
        return "missing"
    return "same" if then == now else "differs"


def _go_on() -> None:
    """Let nothing but the end of the work end it."""


def _tell_nobody(_stage: Stage, _done: int, _total: int) -> None:
    """Show no progress."""
