"""Where the files of a job lie in the blob store.

jobs/<id>/job.json            what was asked; put before the job is accepted
jobs/<id>/input/<n>           the files as they came, n from 0
jobs/<id>/previous/<n>        those of an uploaded prior
jobs/<id>/attempts/<n>/…      one attempt's artefacts, with lease.json and end.json, each put if absent
jobs/<id>/final.json          put if absent: how the job ended
jobs/<id>/cancel.json         put when somebody asked a running job to stop
jobs/<id>/webhook/<n>/…       one attempt of the API to send the job's end to its webhook
jobs/<id>/tombstone.json      put when the job was deleted or expired; the rest is erased after it
keys/<digest>                 put if absent: the id of the job that a sender's Idempotency-Key stands for
"""

from typing import Final

from metseg.errors import JobNotFoundError
from metseg.schemas.job import is_job_id

RECORD: Final = "job.json"
FINAL: Final = "final.json"
LEASE: Final = "lease.json"
END: Final = "end.json"
CANCEL: Final = "cancel.json"
TOMBSTONE: Final = "tombstone.json"


def job_folder(job_id: str) -> str:
    """Return the folder of a job.

    Raises:
        JobNotFoundError: It cannot be the id of a job.
    """
    if not is_job_id(job_id):
        raise JobNotFoundError("there is no job of that id")
    return f"jobs/{job_id}"
