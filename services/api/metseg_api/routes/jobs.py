"""Jobs: send, list, follow, cancel, delete."""

from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field

from metseg.errors import JobStateError, NoSpaceError, QueueUnavailableError, RequestError
from metseg.schemas.job import JOB_ID_PATTERN, Job, JobResult, JobState
from metseg_api.auth.api_keys import Scope
from metseg_api.auth.audit_log import Action
from metseg_api.backends import BackendsOf
from metseg_api.errors import TooManyFollowersError
from metseg_api.jobs.long_poll import preferred_wait_s, wait_for_change
from metseg_api.jobs.reader import entity_tag, job_path, tag_matches
from metseg_api.jobs.watcher import WatchOf
from metseg_api.openapi.document import (
    CHANGE_PROBLEMS,
    JOB_PROBLEMS,
    SCOPE_PROBLEMS,
    STORE_PROBLEMS,
    SUBMIT_PROBLEMS,
    answer,
    links,
    problems,
)
from metseg_api.openapi.examples import (
    CANCELLED_JOB,
    ENTITY_TAG,
    FAILED_JOB,
    JOB_ID,
    PAGE,
    QUEUED_JOB,
    RUNNING_JOB,
    SUCCEEDED_JOB,
)
from metseg_api.openapi.upload_form import UPLOAD_FORM
from metseg_api.routes.dependencies import AuditLoggerOf, CallerOf, OwnJobId, needs
from metseg_api.use_cases.list_jobs import page_of_jobs
from metseg_api.use_cases.submit_job import accept

UPLOAD_ROUTE = ("POST", "/v1/jobs")
POLL_AFTER_S = 1
JOB_IN_BODY = "$response.body#/id"

router = APIRouter(tags=["jobs"])


class JobPage(BaseModel):
    """Some jobs, newest first."""

    items: list[Job]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null on the last one.")
    links: dict[str, str] = Field(description="`self`, and `next` where there is one.")


@router.post(
    UPLOAD_ROUTE[1],
    dependencies=[needs(Scope.SUBMIT)],
    status_code=202,
    response_model=Job,
    operation_id="submit_job",
    summary="Send a scan",
    openapi_extra=UPLOAD_FORM,
    responses=problems(*SUBMIT_PROBLEMS)
    | {
        202: answer(
            "Accepted: the scan is stored and queued.",
            QUEUED_JOB,
            headers={
                "Location": "Where the job is.",
                "ETag": "Of the job as it stands.",
                "Retry-After": "Seconds after which asking makes sense.",
                "Idempotency-Replayed": "`true` where the key's job was there already; else absent.",
            },
            links=links("get_job", "follow_job", "get_result", "cancel_job", "delete_job", job_id=JOB_IN_BODY),
        )
    },
)
async def submit_job(request: Request, backends: BackendsOf, audit_logger: AuditLoggerOf) -> Response:
    """Send one scan as multipart form.

    The parts may come in any order. The file is stored as it arrives and not looked into: what is wrong with its
    content, the job tells as its `error` later.
    """
    accepted = await accept(request, backends, audit_logger)
    job = await run_sync(backends.reader.read, accepted.record.id)
    headers = {"Location": job_path(job.id), "Retry-After": str(POLL_AFTER_S)}
    if accepted.is_replay:
        headers["Idempotency-Replayed"] = "true"
    return _job_response(job, status=202, headers=headers)


@router.get(
    "/v1/jobs",
    dependencies=[needs(Scope.READ)],
    response_model=JobPage,
    operation_id="list_jobs",
    summary="List jobs",
    responses=problems(*SCOPE_PROBLEMS, *STORE_PROBLEMS, RequestError)
    | {
        200: answer(
            "A page of jobs.",
            PAGE,
            links=links("list_jobs", cursor="$response.body#/next_cursor")
            | links("get_job", "follow_job", "get_result", "cancel_job", job_id="$response.body#/items/0/id"),
        )
    },
)
def list_jobs(
    backends: BackendsOf,
    caller: CallerOf,
    limit: Annotated[int, Query(ge=1, le=200, description="Most jobs a page.", examples=[50])] = 50,
    cursor: Annotated[
        str | None,
        Query(pattern=f"^{JOB_ID_PATTERN}$", description="`next_cursor` of the page before.", examples=[JOB_ID]),
    ] = None,
    state: Annotated[
        list[JobState] | None, Query(description="Only jobs in one of these states.", examples=[["running"]])
    ] = None,
) -> JobPage:
    """The jobs of the key's owner, newest first, a page at a time; an administrator's key lists everyone's.

    A page may hold fewer jobs than `limit` though others follow: go on as long as there is a `next_cursor`.
    """
    states = frozenset(state or ())
    items, next_cursor = page_of_jobs(backends, caller, states, before=cursor, limit=limit)
    links = {"self": _page_path(limit, cursor, states)}
    if next_cursor is not None:
        links["next"] = _page_path(limit, next_cursor, states)
    return JobPage(items=items, next_cursor=next_cursor, links=links)


@router.get(
    "/v1/jobs/{job_id}",
    dependencies=[needs(Scope.READ)],
    response_model=Job,
    operation_id="get_job",
    summary="Follow a job",
    responses=problems(*JOB_PROBLEMS, TooManyFollowersError)
    | {
        200: answer(
            "The job as it stands.",
            RUNNING_JOB,
            others={"succeeded": SUCCEEDED_JOB, "failed": FAILED_JOB},
            headers={
                "ETag": "Changes when anything that matters changes.",
                "Preference-Applied": "The `wait` that was kept to.",
                "Retry-After": "Seconds after which asking again makes sense; absent in a final state.",
            },
            links=links("follow_job", "get_result", "cancel_job", "delete_job", job_id=JOB_IN_BODY),
        ),
        304: {"description": "Nothing changed since the ETag in If-None-Match."},
    },
)
async def get_job(
    request: Request,
    job_id: OwnJobId,
    watch: WatchOf,
    prefer: Annotated[
        str | None,
        Header(
            description="`wait=N`: hold the answer for up to N (at most 60) seconds, until the job differs from "
            "If-None-Match or, without that, until its state is final.",
            examples=["wait=30"],
        ),
    ] = None,
    if_none_match: Annotated[
        str | None, Header(description="The ETag of the answer that is known already.", examples=[ENTITY_TAG])
    ] = None,
) -> Response:
    """How far a job is; its `error` tells why one failed."""
    wait_s = preferred_wait_s(prefer)
    if wait_s is None:
        job = await watch.fresh.read(job_id)
    else:
        job = await wait_for_change(request, watch, job_id, known=if_none_match, wait_s=wait_s)
    headers = {} if wait_s is None else {"Preference-Applied": f"wait={wait_s:g}"}
    if not job.state.is_final:
        headers["Retry-After"] = str(POLL_AFTER_S)
    tag = entity_tag(job)
    if tag_matches(if_none_match, tag):
        return Response(status_code=304, headers=headers | {"ETag": tag})
    return _job_response(job, tag=tag, headers=headers)


@router.post(
    "/v1/jobs/{job_id}/cancel",
    dependencies=[needs(Scope.SUBMIT)],
    status_code=202,
    response_model=Job,
    operation_id="cancel_job",
    summary="Cancel a job",
    responses=problems(*JOB_PROBLEMS, *CHANGE_PROBLEMS, JobStateError, QueueUnavailableError)
    | {
        202: answer(
            "The job will end, or has ended, as cancelled.",
            CANCELLED_JOB,
            others={"running": RUNNING_JOB | {"cancel_requested": True}},
            headers={"ETag": "Of the job as it stands."},
            links=links("get_job", "follow_job", "delete_job", job_id=JOB_IN_BODY),
        )
    },
)
def cancel_job(job_id: OwnJobId, backends: BackendsOf, audit_logger: AuditLoggerOf) -> Response:
    """End a job without a result. One that waits is cancelled at once, a running one within seconds."""
    reader = backends.reader
    job = reader.read(job_id)
    if job.state.is_final:
        raise JobStateError(f"The job is {job.state.value} already.")
    audit_logger.record(Action.CANCEL, job_id)
    if job.state is JobState.QUEUED:
        final = JobResult(job_id=job_id, state=JobState.CANCELLED, finished_at=datetime.now(UTC))
        if not backends.jobs.finish(final):
            raise JobStateError("The job ended meanwhile.")
        with suppress(QueueUnavailableError):  # tells a worker that began at this very moment
            backends.dispatcher.request_cancel(job_id)
            backends.dispatcher.tell_end(final, {})
    else:
        backends.jobs.ask_cancel(job_id)
        backends.dispatcher.request_cancel(job_id)
    return _job_response(reader.read(job_id), status=202)


@router.delete(
    "/v1/jobs/{job_id}",
    dependencies=[needs(Scope.SUBMIT)],
    status_code=204,
    operation_id="delete_job",
    summary="Delete a job",
    responses=problems(*JOB_PROBLEMS, *CHANGE_PROBLEMS)
    | {204: {"description": "Input, results and record are erased.", "links": links("list_jobs")}},
)
def delete_job(job_id: OwnJobId, backends: BackendsOf, audit_logger: AuditLoggerOf) -> Response:
    """Erase a job with its input and results, in whatever state it is; asking for it then answers 410."""
    reader = backends.reader
    ended = reader.read(job_id).state.is_final
    try:
        audit_logger.record(Action.DELETE, job_id)
    except NoSpaceError:  # deletion begins before its audit entry, so that a full disk can be emptied
        backends.jobs.make_room(job_id)
        audit_logger.record(Action.DELETE, job_id)
    with suppress(QueueUnavailableError):  # erasing must not depend on the queue
        backends.dispatcher.request_cancel(job_id)
    backends.jobs.erase(job_id)
    if ended:
        with suppress(QueueUnavailableError):
            backends.dispatcher.forget(job_id)
    return Response(status_code=204)


def _job_response(
    job: Job, *, tag: str | None = None, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """The answer that tells a job; its `tag` where that is known already."""
    sent = {"ETag": tag or entity_tag(job)} | (headers or {})
    return Response(job.model_dump_json(), status, headers=sent, media_type="application/json")


def _page_path(limit: int, cursor: str | None, states: Collection[JobState]) -> str:
    asked = [("limit", str(limit)), *(("state", state.value) for state in sorted(states))]
    return "/v1/jobs?" + urlencode([*asked, ("cursor", cursor)] if cursor else asked)
