"""Results: the list of a job's artefacts, and each of them."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, Field

from metseg.errors import JobStateError, StoreError
from metseg.schemas.job import Artefact, JobResult
from metseg_api.auth.api_keys import Scope
from metseg_api.auth.audit_log import Action
from metseg_api.backends import Backends, BackendsOf
from metseg_api.errors import ArtefactNotFoundError, RangeError, ResultNotReadyError
from metseg_api.jobs.reader import job_path, tag_matches
from metseg_api.openapi.document import JOB_PROBLEMS, Responses, answer, links, problems, without_bodies
from metseg_api.openapi.examples import RESULT, SHA256
from metseg_api.routes.dependencies import AuditLoggerOf, OwnJobId, needs

router = APIRouter(tags=["results"])

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


_FILE_PROBLEMS = (*JOB_PROBLEMS, JobStateError, ArtefactNotFoundError, RangeError)
_FILE_HEADERS = {
    "ETag": "SHA-256 of the file.",
    "Content-Disposition": "A name to save it under.",
    "Accept-Ranges": "`bytes`",
}
_TO_THE_LIST = links("get_result", job_id="$request.path.job_id")
_FILE_ANSWERS: Responses = {
    200: answer(
        "The file.", "the bytes of mask.nii.gz", headers=_FILE_HEADERS, links=_TO_THE_LIST, media_type="*/*"
    ),
    206: answer(
        "The part that Range asked for.",
        "the bytes asked for",
        headers=_FILE_HEADERS | {"Content-Range": "Which bytes of how many: `bytes 0-1023/48213`."},
        media_type="*/*",
    ),
    304: {"description": "The file in If-None-Match is this one.", "headers": {}},
}


class ArtefactLink(Artefact):
    """One file of a result, and where it is."""

    href: str


class Result(BaseModel):
    """What a job made."""

    schema_version: Literal[1] = 1
    job_id: str
    attempt: int | None
    finished_at: AwareDatetime
    artefacts: list[ArtefactLink] = Field(description="In the order of their making.")
    links: dict[str, str]


@dataclass(frozen=True)
class Conditions:
    """Headers that say which part of a file is wanted, and when."""

    if_none_match: Annotated[
        str | None, Header(description="An ETag that is known already.", examples=[f'"{SHA256}"'])
    ] = None
    byte_range: Annotated[
        str | None, Header(alias="Range", description="One range.", examples=["bytes=0-1023"])
    ] = None
    if_range: Annotated[
        str | None, Header(description="The ETag of the file that Range is meant for.", examples=[f'"{SHA256}"'])
    ] = None


@router.get(
    "/v1/jobs/{job_id}/result",
    dependencies=[needs(Scope.READ)],
    response_model=Result,
    operation_id="get_result",
    summary="List the artefacts",
    responses=problems(*JOB_PROBLEMS, JobStateError)
    | {
        200: answer(
            "What the job made.",
            RESULT,
            links=links(
                "get_artefact", job_id="$response.body#/job_id", artefact="$response.body#/artefacts/0/name"
            ),
        )
    },
)
def get_result(job_id: OwnJobId, backends: BackendsOf) -> Result:
    """The artefacts of a job that succeeded, with size, SHA-256 and address of each."""
    final = _succeeded(backends, job_id)
    path = f"{job_path(job_id)}/result"
    return Result(
        job_id=job_id,
        attempt=final.attempt,
        finished_at=final.finished_at,
        artefacts=[ArtefactLink(**one.model_dump(), href=f"{path}/{one.name}") for one in final.artefacts],
        links={"self": path, "job": job_path(job_id)},
    )


@router.get(
    "/v1/jobs/{job_id}/result/{artefact}",
    dependencies=[needs(Scope.READ)],
    response_class=Response,
    operation_id="get_artefact",
    summary="Download an artefact",
    responses=_FILE_ANSWERS | problems(*_FILE_PROBLEMS),
)
@router.head(
    "/v1/jobs/{job_id}/result/{artefact}",
    dependencies=[needs(Scope.READ)],
    response_class=Response,
    operation_id="probe_artefact",
    summary="Ask for an artefact's headers",
    responses=without_bodies(_FILE_ANSWERS | problems(*_FILE_PROBLEMS)),
)
def get_artefact(
    request: Request,
    job_id: OwnJobId,
    artefact: Annotated[str, Path(description="A name from the result's list.", examples=["mask.nii.gz"])],
    backends: BackendsOf,
    audit_logger: AuditLoggerOf,
    conditions: Annotated[Conditions, Depends()],
) -> Response:
    """One artefact as a file; it never changes once it is there."""
    final = _succeeded(backends, job_id)
    found = next((one for one in final.artefacts if one.name == artefact), None)
    if found is None or final.attempt is None:
        raise ArtefactNotFoundError("The job has no artefact of that name; see its result.")
    key = backends.jobs.artefact_key(job_id, final.attempt, found.name)
    if backends.blobs.size(key) != found.size_bytes:
        raise StoreError("an artefact has not the size that final.json tells")
    headers = {
        "ETag": f'"{found.sha256}"',
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="metseg-{job_id[-8:]}-{found.name}"',
        "Cache-Control": "private, no-cache",
    }
    if tag_matches(conditions.if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    begin, end = 0, found.size_bytes
    status = 200
    if conditions.byte_range is not None and conditions.if_range in (None, headers["ETag"]):
        asked = _asked_range(conditions.byte_range, found.size_bytes)
        if asked is not None:
            begin, end = asked
            status = 206
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{found.size_bytes}"
    headers["Content-Length"] = str(end - begin)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=found.media_type)
    audit_logger.record(Action.DOWNLOAD, job_id, found.name)
    body = backends.blobs.chunks(key, begin=begin, end=end)
    return StreamingResponse(body, status, headers=headers, media_type=found.media_type)


def _succeeded(backends: Backends, job_id: str) -> JobResult:
    final = backends.jobs.final(job_id)
    job = backends.reader.read(job_id)
    if final is None or not job.links.get("result"):
        raise ResultNotReadyError(job.state, job.error)
    return final


def _asked_range(header: str, size: int) -> tuple[int, int] | None:
    """Begin and end (exclusive) of one range; None for a form that is ignored (RFC 9110, section 14.2)."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        begin, end = max(0, size - int(last)), size
    else:
        begin, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < begin:
            return None
    if begin >= size or begin >= end:
        raise RangeError(size)
    return begin, end
