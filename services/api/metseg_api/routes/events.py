"""A job told as it goes on, by server-sent events."""

from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse

from metseg_api.auth.api_keys import Scope
from metseg_api.errors import TooManyFollowersError
from metseg_api.jobs.event_stream import MEDIA_TYPE, event_id, job_events
from metseg_api.jobs.watcher import WatchOf
from metseg_api.openapi.document import JOB_PROBLEMS, links, problems
from metseg_api.openapi.examples import ENTITY_TAG, EVENT
from metseg_api.routes.dependencies import OwnJobId, needs

router = APIRouter(tags=["jobs"])

EVENT_SCHEMA = {
    "type": "object",
    "description": "The fields of each event of the stream.",
    "required": ["id", "event", "data"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "description": "The job's ETag without its quotes."},
        "event": {"const": "job"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/Job"},
        },
    },
}


@router.get(
    "/v1/jobs/{job_id}/events",
    dependencies=[needs(Scope.READ)],
    response_class=Response,
    operation_id="follow_job",
    summary="Follow a job by server-sent events",
    responses=problems(*JOB_PROBLEMS, TooManyFollowersError)
    | {
        200: {
            "description": "A stream of events named `job`, one at each change; the last tells the final state.",
            "content": {MEDIA_TYPE: {"schema": EVENT_SCHEMA, "example": EVENT}},
            "links": links("get_job", "get_result", job_id="$request.path.job_id"),
        },
        204: {"description": "The event in Last-Event-ID was the last one."},
    },
)
async def follow_job(
    job_id: OwnJobId,
    watch: WatchOf,
    last_event_id: Annotated[
        str | None,
        Header(description="The id of the event that is known already.", examples=[ENTITY_TAG.strip('"')]),
    ] = None,
) -> Response:
    """The job as it stands, and again whenever that changes.

    Each event's `data` is what `GET /v1/jobs/{id}` answers. Come back with `Last-Event-ID` (a browser does so by
    itself) after a line that broke: what was missed is not repeated, since the next event tells all.
    """
    watch.check_room()
    job = await watch.fresh.read(job_id)
    if job.state.is_final and event_id(job) == last_event_id:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(job_events(watch, job_id, last_event_id), headers=headers, media_type=MEDIA_TYPE)
