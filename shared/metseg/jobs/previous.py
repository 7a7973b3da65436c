"""What a job that is to be followed up must be: ended well, still there, and of a volume."""

from metseg.errors import JobGoneError, JobNotFoundError
from metseg.jobs.previous_errors import (
    NotVolumeError,
    PreviousGoneError,
    PreviousUnfinishedError,
    PreviousUnknownError,
)
from metseg.jobs.store import JobStore
from metseg.schemas.job import JobResult, JobState

LABELS = "lesions.nii.gz"
"""The artefact that only a volume has."""


def comparable(store: JobStore, job_id: str) -> JobResult:
    """How the earlier job ended, with its artefacts.

    Raises:
        PreviousUnknownError: there is no such job.
        PreviousGoneError: it was deleted, or has expired.
        PreviousUnfinishedError: it has not ended, or without a result.
        NotVolumeError: it is of a single picture.
    """
    try:
        store.load(job_id)
    except JobNotFoundError as exc:
        raise unknown(job_id) from exc
    except JobGoneError as exc:
        raise gone(job_id) from exc
    final = store.final(job_id)
    if final is None or final.state is not JobState.SUCCEEDED:
        state = "has not ended" if final is None else f"ended as {final.state.value}"
        raise PreviousUnfinishedError(f"Expected an earlier job that succeeded, but job {job_id} {state}.")
    if LABELS not in {artefact.name for artefact in final.artefacts}:
        raise NotVolumeError(
            f"Expected an earlier scan that is a volume, but job {job_id} is of a single picture."
        )
    return final


def unknown(job_id: str) -> PreviousUnknownError:
    """What is said of an id of which there is no job, or none for the sender."""
    return PreviousUnknownError(f"Expected the id of an earlier job, but there is no job {job_id}.")


def gone(job_id: str) -> PreviousGoneError:
    """What is said of a job that was there."""
    return PreviousGoneError(f"The earlier job {job_id} was deleted or has expired, so nothing can be compared.")
