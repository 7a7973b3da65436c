"""What a job is: what was asked, how far it is, and how it ended.

These schemas are stored (`job.json`, `final.json`) and answered by the API; they only ever grow.
Times are RFC 3339 in UTC, coordinates RAS+ millimetres.
"""

import os
import re
import time
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from metseg.schemas.fields import LABEL, MOST_LABEL, SERIES_UID, PixelSpacing

RESEARCH_USE_ONLY = "Research use only. Not a medical device, not for diagnosis."
DEFAULT_MODEL = "attention_unet"
ENSEMBLE = "ensemble"
"""The model that is all others together (`metseg.models.ensemble`); no folder of models may have this name."""
MOST_LOST_ATTEMPTS = 3
"""A job of which so many attempts lost their worker has failed."""
KEPT_S = 24 * 3600
"""How long a result is kept where the one who runs the API did not choose otherwise."""
MOST_KEPT_S = 30 * 24 * 3600

JOB_ID_PATTERN = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
"""A UUIDv7, in small letters."""
_UUID7 = re.compile(JOB_ID_PATTERN)

JobId = Annotated[str, Field(pattern=f"^{JOB_ID_PATTERN}$")]
MOST_PREVIOUS = 5
"""So many earlier jobs may be named; each is registered to the new scan, which takes time."""


def new_job_id() -> str:
    """A fresh UUIDv7 (RFC 9562, section 5.7): text order is order of creation, to the millisecond."""
    milliseconds = time.time_ns() // 1_000_000
    noise = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & (1 << 48) - 1) << 80 | noise
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))


def is_job_id(text: str) -> bool:
    """Whether a text has the form of a job id; nothing else may become part of a key."""
    return _UUID7.fullmatch(text) is not None


class Schema(BaseModel):
    """Base of all stored and answered schemas: values never change, unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def updated(self, **values: Any) -> Self:
        """A copy with other values, which are validated; `model_copy` takes them as they are."""
        return self.model_validate({name: getattr(self, name) for name in type(self).model_fields} | values)


class JobState(StrEnum):
    """`queued → running → succeeded | failed | cancelled`; never backwards, a final one never changes."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing can come after it."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class Stage(StrEnum):
    """What a running job is doing."""

    READ = "read"
    PREPARE = "prepare"
    PREDICT = "predict"
    FINISH = "finish"


class WaitsFor(StrEnum):
    """What a job that makes no headway waits for."""

    MODEL_SERVER = "model_server"


class Priority(StrEnum):
    """The lanes of the queue, each in its order; urgent goes first, but for every fifth pick of a worker."""

    URGENT = "urgent"
    ROUTINE = "routine"


class ModelVersion(Schema):
    """One version of one model."""

    name: str
    version: int = Field(ge=1)
    digest: str


class ModelRef(ModelVersion):
    """The very model a job uses; retries reuse it. `members` are the models of the ensemble, else none."""

    members: tuple[ModelVersion, ...] = ()


class JobRequest(Schema):
    """What the sender chose.

    `threshold` None takes the model card's, `spacing_mm` is for pictures (x, y), `series_uid` names one of
    several DICOM series, `webhook_url` is told the job's end. `previous` names earlier jobs to compare with, the
    baseline first; `previous_series_uid` one of several series in an uploaded prior. `label` is what the sender
    calls the scan; it is never taken from a header.
    """

    model: str = DEFAULT_MODEL
    threshold: float | None = Field(default=None, gt=0, lt=1)
    spacing_mm: tuple[PixelSpacing, PixelSpacing] | None = None
    series_uid: str | None = Field(default=None, max_length=64, pattern=SERIES_UID)
    previous_series_uid: str | None = Field(default=None, max_length=64, pattern=SERIES_UID)
    priority: Priority = Priority.ROUTINE
    webhook_url: str | None = Field(default=None, max_length=2048)
    label: str | None = Field(default=None, max_length=MOST_LABEL, pattern=LABEL)
    previous: tuple[JobId, ...] = Field(default=(), max_length=MOST_PREVIOUS)


class InputFile(Schema):
    """One uploaded file, by the key of its blob; its name is not kept."""

    key: str
    size_bytes: int = Field(ge=0)
    sha256: str


class JobRecord(Schema):
    """`job.json`: written before the job is accepted, never changed.

    Attributes:
        owner: Who sent it; None where the API knows no keys.
        key_sha256: Digest of the sender's Idempotency-Key, if one came.
        compared_with: What the model is compared with once the job has ended, on the same scan; None for nothing.
        inputs: The files of the scan.
        previous_inputs: Those of an uploaded prior; none without one.
        kept_s: How long the result is kept after the job's end; a job that does not end expires so long after its
            creation.
        traceparent: The span of its queueing (W3C Trace Context), below which its attempts are traced.
    """

    schema_version: Literal[1] = 1
    id: str
    created_at: AwareDatetime
    owner: str | None = None
    key_sha256: str | None = None
    request: JobRequest
    model: ModelRef
    compared_with: ModelRef | None = None
    inputs: list[InputFile]
    previous_inputs: list[InputFile] = []
    kept_s: float = Field(default=KEPT_S, gt=0, le=MOST_KEPT_S)
    traceparent: str | None = Field(default=None, pattern=r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")


class Lease(Schema):
    """`lease.json` of an attempt: who took it. Put once, so that an attempt has one worker."""

    schema_version: Literal[1] = 1
    worker: str
    claimed_at: AwareDatetime


class Tombstone(Schema):
    """`tombstone.json`: a job was here, and whose it was, so that only that one is told."""

    schema_version: Literal[1] = 1
    owner: str | None = None


class FoundSeries(Schema):
    """One of several DICOM series, as its header describes it; free text of a header is never told.

    Attributes:
        uid: Its SeriesInstanceUID.
        number: Its SeriesNumber; None where it has none.
        images: How many slices it has.
        is_t1: Whether it is T1-weighted.
        has_agent: Whether a contrast agent was given; None where the header does not tell.
    """

    uid: str = Field(max_length=64, pattern=SERIES_UID)
    number: int | None = None
    images: int = Field(ge=0)
    is_t1: bool
    has_agent: bool | None = None


class Failure(Schema):
    """Why a job failed.

    Attributes:
        code: Stable (see `metseg.errors`).
        message: A sentence for people.
        series: Where the sender has to choose one of several DICOM series, these; else none.
        of_previous: Whether it is about the uploaded prior.
    """

    code: str
    message: str
    series: list[FoundSeries] = []
    of_previous: bool = False


class Artefact(Schema):
    """One file of a result."""

    name: str
    media_type: str
    size_bytes: int = Field(ge=0)
    sha256: str


class JobResult(Schema):
    """`final.json`: how a job ended, put once."""

    schema_version: Literal[1] = 1
    job_id: str
    state: JobState
    attempt: int | None = None
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime
    artefacts: list[Artefact] = []
    failure: Failure | None = None


class AttemptEnd(Schema):
    """`end.json` of an attempt, put once: the attempt puts its own end, or who gives it up puts another.

    Only an attempt that put its `final` here may publish it, so that an attempt which was given up, and lives on
    somewhere, can no longer end the job. `was_lost` tells an attempt whose worker died from one that was given
    back.
    """

    schema_version: Literal[1] = 1
    ended_at: AwareDatetime
    final: JobResult | None = None
    was_lost: bool = False


class Progress(Schema):
    """How far a running attempt is; `fraction` runs over the whole job from 0 to 1.

    With an uploaded prior, `scans` is 2, the stages are gone through for each of them, and `scan` is 1
    while it is the earlier one's turn.
    """

    stage: Stage
    scan: int = Field(default=1, ge=1)
    scans: int = Field(default=1, ge=1)
    fraction: float = Field(ge=0, le=1)
    slices_done: int = Field(default=0, ge=0)
    slices_total: int = Field(default=0, ge=0)
    waits_for: WaitsFor | None = None
    attempt: int = Field(ge=1)
    started_at: AwareDatetime
    updated_at: AwareDatetime


class Job(Schema):
    """A job as the API answers it.

    Attributes:
        queue_position: Place of a waiting job in the line; 1 is the next.
        seconds_left: A guess at the time until the job ends; None where there is nothing to guess from.
        waits_for: What has to come back before the job gets on, whether it is queued or running; None if nothing.
    """

    schema_version: Literal[1] = 1
    id: str
    state: JobState
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    attempt: int = Field(default=0, ge=0)
    cancel_requested: bool = False
    model: ModelRef
    request: JobRequest
    queue_position: int | None = Field(default=None, ge=1)
    seconds_left: float | None = Field(default=None, ge=0)
    waits_for: WaitsFor | None = None
    progress: Progress | None = None
    error: Failure | None = None
    links: dict[str, str] = {}
