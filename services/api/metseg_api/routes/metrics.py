"""Metrics for Prometheus."""

from fastapi import APIRouter, Request, Response

from metseg_api.auth.api_keys import Scope
from metseg_api.backends import BackendsOf
from metseg_api.jobs.watcher import WatchOf
from metseg_api.metric_families import MEDIA_TYPE
from metseg_api.openapi.document import SCOPE_PROBLEMS, answer, links, problems
from metseg_api.openapi.examples import METRICS
from metseg_api.routes.dependencies import needs
from metseg_api.supervision import SupervisorOf
from metseg_api.use_cases.collect_metrics import exposition

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
def get_metrics(request: Request, backends: BackendsOf, watch: WatchOf, supervisor: SupervisorOf) -> Response:
    """Queue depth and age, workers, ends by state and code, time in each stage, room in the store, requests."""
    figures = request.app.state.http_figures
    text = exposition(backends, figures, watch.followers, loops_run=not supervisor.down())
    return Response(text, headers={"Content-Type": MEDIA_TYPE})
