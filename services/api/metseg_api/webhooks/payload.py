"""What a webhook says, and the headers that vouch for it (Standard Webhooks 1.0).

Nothing of the scan and of what was found in it is told: a receiver takes that from the API, with its key.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime

from pydantic import AwareDatetime

from metseg.schemas.job import Job, JobState, Schema

CONTENT_TYPE = "application/json"


class JobEnd(Schema):
    """How a job ended; `code` tells why one failed."""

    job_id: str
    state: JobState
    code: str | None = None
    links: dict[str, str]


class JobEnded(Schema):
    """The body: `type` is `job.succeeded`, `job.failed` or `job.cancelled`, `timestamp` when the job ended."""

    type: str
    timestamp: AwareDatetime
    data: JobEnd


def message_id(job_id: str) -> str:
    """The id of a job's one message, the same in every attempt."""
    return f"msg_{job_id}"


def body_of(job: Job) -> bytes:
    """The body for a job that has ended, the same in every attempt."""
    end = JobEnd(job_id=job.id, state=job.state, code=job.error.code if job.error else None, links=job.links)
    told = JobEnded(type=f"job.{job.state.value}", timestamp=job.finished_at or job.created_at, data=end)
    return told.model_dump_json().encode()


def signed_headers(job_id: str, body: bytes, keys: Iterable[bytes], at: datetime) -> dict[str, str]:
    """The headers of one attempt, with a signature by each key."""
    name, timestamp = message_id(job_id), str(int(at.timestamp()))
    signed = f"{name}.{timestamp}.".encode() + body
    digests = [hmac.digest(key, signed, hashlib.sha256) for key in keys]
    return {
        "Content-Type": CONTENT_TYPE,
        "webhook-id": name,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in digests),
    }
