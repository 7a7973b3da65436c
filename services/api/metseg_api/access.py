"""Whether everyone may be let in: a key file that is missing must not open a store of owners to everybody."""

from pydantic import ValidationError

from metseg.errors import JobNotFoundError, SettingsError, StoreError, StoreUnavailableError
from metseg.jobs.store import JobStore
from metseg.schemas.job import is_job_id
from metseg_api.auth.api_keys import KeyFile
from metseg_api.settings import ApiSettings


def open_key_file(settings: ApiSettings, jobs: JobStore) -> KeyFile | None:
    """Return the API keys; None where every program on this machine may do everything.

    Raises:
        SettingsError: The file is damaged; or there are neither keys nor an issuer, and others could reach the
            API, or the store holds jobs of owners and METSEG_OPEN does not say that this is meant.
        StoreUnavailableError: There are neither, and it cannot be told whether the store holds jobs of owners.
    """
    keys = settings.key_file()
    if keys is None and not settings.open and _holds_jobs_of_owners(jobs):
        raise SettingsError(
            f"METSEG_KEYS: expected API keys in {settings.keys}, since the store holds jobs of owners, and there "
            "are none; bring the file back, or set METSEG_OPEN=1 to let every program on this machine in"
        )
    return keys


def _holds_jobs_of_owners(jobs: JobStore) -> bool:
    """Look at all jobs, deleted ones too, newest first, until one has an owner."""
    ids = filter(is_job_id, reversed(jobs.blobs.names("jobs")))
    return any(_owner(jobs, job_id) is not None for job_id in ids)


def _owner(jobs: JobStore, job_id: str) -> str | None:
    try:
        return jobs.owner(job_id)
    except StoreUnavailableError:
        raise
    except (JobNotFoundError, StoreError, ValidationError):  # no job yet, or a damaged one, which nobody can read
        return None
