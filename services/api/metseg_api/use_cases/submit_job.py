"""From an upload to an accepted job: first durable, then queued, and only then said so."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from anyio import CancelScope
from anyio.to_thread import run_sync
from fastapi import Request
from pydantic import ValidationError

from metseg.errors import (
    JobGoneError,
    JobNotFoundError,
    QueueUnavailableError,
    RequestError,
    StoreError,
)
from metseg.schemas.job import JobRecord, JobRequest, new_job_id
from metseg.tracing.api import Side
from metseg_api.auth.audit_log import Action
from metseg_api.auth.caller import AuditLogger, Caller
from metseg_api.backends import Backends
from metseg_api.errors import FileMissingError, KeyInFlightError
from metseg_api.rollout.selection import Chosen
from metseg_api.uploads.blob_upload import Uploads
from metseg_api.uploads.idempotency import check_same, key_digest
from metseg_api.uploads.multipart import (
    Event,
    PartBegin,
    PartData,
    PartEnd,
    announced_bytes,
    boundary_of,
    check_length,
    form_events,
)
from metseg_api.uploads.reservations import Reservation
from metseg_api.use_cases.check_previous_jobs import check_previous

FILE_PART, PREVIOUS_PART = "file", "previous_file"
FILE_PARTS = (FILE_PART, PREVIOUS_PART)
"""Of the scan, and of an uploaded prior."""
FIELDS = (
    *("model", "threshold", "spacing_mm", "series_uid", "priority", "webhook_url"),
    *("previous", "previous_series_uid", "label"),
)
LISTS = ("spacing_mm", "previous")
"""Fields of several values, parted by commas."""
MAX_FIELD_BYTES = 2048


class JobForm:
    """The fields of a job's form, each checked as soon as it is complete."""

    def __init__(self) -> None:
        self._given: dict[str, object] = {}
        self._seen: set[str] = set()

    @property
    def model(self) -> str:
        """The model asked for, or the default."""
        return self.request.model

    @property
    def request(self) -> JobRequest:
        """What the fields so far ask for."""
        return JobRequest.model_validate(self._given)

    def begin(self, name: str) -> None:
        """A part of this name begins; that of a file counts once `begin_file` is called.

        Raises:
            RequestError: There is no such field, or it came before.
        """
        if name not in (*FILE_PARTS, *FIELDS):
            raise RequestError(
                f"The form has a part of an unknown name; known are {', '.join((*FILE_PARTS, *FIELDS))}."
            )
        if name in FILE_PARTS:
            return
        if name in self._seen:
            raise RequestError(f"The form has more than one part named {name}.")
        self._seen.add(name)

    def begin_file(self, name: str) -> None:
        """The part that began last holds a file.

        Raises:
            RequestError: It is an earlier scan, and a field before named earlier jobs.
        """
        self._seen.add(name)
        self._check_one_way()

    def end(self, name: str, value: bytes) -> None:
        """A field is complete; an empty one counts as not given.

        Raises:
            RequestError: Its value is not allowed.
        """
        text = value.decode("utf-8", errors="replace").strip()
        if not text:
            return
        given: object = [one.strip() for one in text.split(",")] if name in LISTS else text
        if name == "spacing_mm" and isinstance(given, list) and len(given) == 1:
            given = given * 2
        try:
            JobRequest.model_validate({name: given})
        except ValidationError as exc:
            said = exc.errors(include_input=False, include_url=False)[0]["msg"]
            raise RequestError(f"The field {name} is not valid: {said[0].lower()}{said[1:]}.") from None
        self._given[name] = given
        self._check_one_way()

    def check_whole(self) -> None:
        """Make sure that nothing is missing; to be called after the last part.

        Raises:
            FileMissingError: There is no file.
            RequestError: A series is named of an earlier scan that is not there.
        """
        if FILE_PART not in self._seen:
            raise FileMissingError(f"The form holds no part named {FILE_PART}.")
        if "previous_series_uid" in self._given and PREVIOUS_PART not in self._seen:
            raise RequestError(f"The field previous_series_uid needs a part named {PREVIOUS_PART}.")

    def _check_one_way(self) -> None:
        if "previous" in self._given and PREVIOUS_PART in self._seen:
            raise RequestError(
                f"Name earlier jobs by previous or send an earlier scan as {PREVIOUS_PART}, but not both."
            )


@dataclass(frozen=True)
class Accepted:
    """The job that an upload has become, or has become before under the same Idempotency-Key."""

    record: JobRecord
    is_replay: bool


async def accept(request: Request, backends: Backends, audit_logger: AuditLogger) -> Accepted:
    """Take one upload as a job.

    The order is the promise: the input is durable, then `job.json`, then the queue knows, then the sender. On
    any failure before the end nothing of the job is left.

    Raises:
        RequestError: The form or its key is not one that the API takes (see `metseg_api.errors` for the kinds).
        EmptyInputError: A file has no bytes.
        FollowUpError: An earlier job that is named cannot be compared with.
        ServingUnavailableError: No version of the model is loaded.
        RetryLaterError: There is no room for one more job, or the key is in flight.
        QueueUnavailableError: Redis does not answer.
        StoreUnavailableError: The store cannot be written.
    """
    boundary = boundary_of(request)
    check_length(request, backends.settings.max_upload_bytes)
    key = key_digest(request.headers.get("Idempotency-Key"), audit_logger.caller.owner)
    job_id, owner = new_job_id(), audit_logger.caller.owner
    async with (
        backends.in_flight.holding(key),
        backends.reservations.holding(job_id, owner, announced_bytes(request)) as reservation,
        _discarding(backends, job_id),
    ):
        record = await _stored(request, backends, boundary, reservation, audit_logger.caller)
        record = record.model_copy(update={"key_sha256": key})
        accepted = await run_sync(_publish, backends, record, audit_logger)
        reservation.is_accepted = not accepted.is_replay
        return accepted


async def _stored(
    request: Request, backends: Backends, boundary: bytes, reservation: Reservation, caller: Caller
) -> JobRecord:
    """The record of a job whose input is in the store; nobody else knows of the job yet."""
    form, job_id = JobForm(), reservation.job_id
    models: dict[str, Chosen] = {}

    async def check(name: str) -> None:
        """Ask others about a field that is complete."""
        if name == "model" and form.model not in models:
            models[form.model] = await run_sync(backends.choice.choose, form.model, job_id)
        if name == "webhook_url" and form.request.webhook_url is not None:
            await backends.webhooks.targets.check(form.request.webhook_url)
            await run_sync(backends.webhooks.check_secret, caller.owner)
        if name == "previous":
            await run_sync(check_previous, backends.jobs, caller, form.request.previous)

    keys = {
        FILE_PART: partial(backends.jobs.input_key, job_id),
        PREVIOUS_PART: partial(backends.jobs.previous_key, job_id),
    }
    count = partial(backends.reservations.receive, reservation)
    async with Uploads(backends.blobs, keys, backends.settings.max_upload_bytes, count) as uploads:
        events = form_events(request, boundary, uploads.max_bytes, backends.settings.min_upload_bytes_per_s)
        await _receive(events, form, uploads, check)
        form.check_whole()
        await check("model")
    return JobRecord(
        id=job_id,
        created_at=datetime.now(UTC),
        owner=caller.owner,
        request=form.request,
        model=models[form.model].model,
        compared_with=models[form.model].compared_with,
        inputs=uploads.files[FILE_PART],
        previous_inputs=uploads.files[PREVIOUS_PART],
        kept_s=backends.settings.kept_s,
    )


@asynccontextmanager
async def _discarding(backends: Backends, job_id: str) -> AsyncIterator[None]:
    """Leave nothing in the store of a job that was not accepted, also when its sender left."""
    accepted = False
    try:
        yield
        accepted = True
    finally:
        if not accepted:
            with CancelScope(shield=True), suppress(StoreError):  # the first error is the one to tell
                await run_sync(backends.jobs.discard, job_id)


async def _receive(
    events: AsyncIterator[Event], form: JobForm, uploads: Uploads, check: Callable[[str], Awaitable[None]]
) -> None:
    """Store the files and read the fields; an empty file part without a file name counts as not sent.

    Browsers and Swagger UI send such a part for a file that nobody has chosen.
    """
    name, value, is_stored = "", b"", False
    async for event in events:
        if isinstance(event, PartBegin):
            name, value, is_stored = event.name, b"", False
            form.begin(name)
        if name in FILE_PARTS:
            is_stored = await _store_file(event, name, form, uploads, is_stored=is_stored)
        elif isinstance(event, PartData):
            value += event.data
            if len(value) > MAX_FIELD_BYTES:
                raise RequestError(f"The field {name} is longer than {MAX_FIELD_BYTES} bytes.")
        elif isinstance(event, PartEnd):
            form.end(name, value)
            await check(name)


async def _store_file(event: Event, name: str, form: JobForm, uploads: Uploads, *, is_stored: bool) -> bool:
    """Take the next event of a file part; return whether the part is being stored."""
    if not is_stored and (isinstance(event, PartData) or (isinstance(event, PartBegin) and event.has_file_name)):
        form.begin_file(name)
        await uploads.begin(name)
        is_stored = True
    if isinstance(event, PartData):
        await uploads.write(event.data)
    elif isinstance(event, PartEnd) and is_stored:
        await uploads.end()
    return is_stored


def _publish(backends: Backends, record: JobRecord, audit_logger: AuditLogger) -> Accepted:
    if record.key_sha256 is not None:
        bound = backends.jobs.bind_key(record.key_sha256, record.id)
        if bound != record.id:
            return _replay(backends, record, bound)
    audit_logger.record(Action.SUBMIT, record.id)
    if record.request.webhook_url is not None:
        backends.webhooks.deliveries.ask(record.id)
    with backends.tracer.span("enqueue", side=Side.PRODUCER, job_id=record.id) as span:
        record = record.model_copy(update={"traceparent": span.traceparent})
        _enqueue(backends, record)
    if record.owner is not None:
        with suppress(QueueUnavailableError):  # it is accepted, and counted and listed when Redis is back
            backends.holders.count_open(record.owner, record.id)
            backends.holders.lists.add(record.owner, record.id)
    return Accepted(record, is_replay=False)


def _enqueue(backends: Backends, record: JobRecord) -> None:
    backends.jobs.create(record)
    try:
        timeout_s, priority = backends.settings.job_timeout_s, record.request.priority
        backends.dispatcher.enqueue(record.id, 1, timeout_s=timeout_s, priority=priority)
    except QueueUnavailableError:
        backends.jobs.erase(record.id)  # with a tombstone: the queue may have heard, though it did not answer
        raise


def _replay(backends: Backends, repeated: JobRecord, bound: str) -> Accepted:
    try:
        earlier = backends.jobs.load(bound)
    except (JobNotFoundError, JobGoneError) as exc:
        raise KeyInFlightError("The job of this Idempotency-Key is just being accepted or deleted.") from exc
    check_same(earlier, repeated)
    backends.jobs.discard(repeated.id)
    return Accepted(earlier, is_replay=True)
