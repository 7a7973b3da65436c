"""Metrics for Prometheus."""

from fastapi import APIRouter, Request, Response

from metseg_api.backends import BackendsOf
from metseg_api.callers import needs
from metseg_api.examples import METRICS
from metseg_api.figures import exposition
from metseg_api.job_watch import WatchOf
from metseg_api.keys import Scope
from metseg_api.openapi import SCOPE_PROBLEMS, answer, links, problems
from metseg_api.prometheus import MEDIA_TYPE

router = APIRouter(tags=["service"])


@router.get(
    "/metrics",
    dependencies=[needs(Scope.ADMIN)],
    response_class=Response,
    operation_id="get_metrics",
    summary="Metrics",
    responses=problems(*SCOPE_PROBLEMS)
    | {
        200: answer(
            "Text in the format of Prometheus.", METRICS, links=links("get_readiness"), media_type="text/plain"
        )
    },
)
def get_metrics(request: Request, backends: BackendsOf, watch: WatchOf) -> Response:
    """Queue depth and age, workers, ends by state and code, time in each stage, room in the store, requests."""
    text = exposition(backends, request.app.state.http_figures, watch.followers)
    return Response(text, headers={"Content-Type": MEDIA_TYPE})
