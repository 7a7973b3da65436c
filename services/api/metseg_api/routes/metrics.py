"""Metrics for Prometheus."""

from fastapi import APIRouter, Request, Response

from metseg_api.backends import BackendsOf
from metseg_api.callers import needs
from metseg_api.figures import MEDIA_TYPE, exposition
from metseg_api.job_watch import WatchOf
from metseg_api.keys import Scope
from metseg_api.openapi import problems

EXAMPLE = 'metseg_queue_depth{lane="urgent"} 0.0'

router = APIRouter(tags=["service"])


@router.get(
    "/metrics",
    dependencies=[needs(Scope.ADMIN)],
    response_class=Response,
    operation_id="get_metrics",
    summary="Metrics",
    responses=problems(401, 403, 429)
    | {
        200: {
            "description": "Text in the format of Prometheus.",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}},
        }
    },
)
def get_metrics(request: Request, backends: BackendsOf, watch: WatchOf) -> Response:
    """Queue depth and age, workers, ends by state and code, time in each stage, room in the store, requests."""
    text = exposition(backends, request.app.state.http_figures, watch.followers)
    return Response(text, headers={"Content-Type": MEDIA_TYPE})
