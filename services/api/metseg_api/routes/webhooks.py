"""What became of a job's webhook."""

from fastapi import APIRouter

from metseg_api.backends import BackendsOf
from metseg_api.callers import OwnJobId, needs
from metseg_api.errors import WebhookNotFoundError
from metseg_api.examples import WEBHOOK
from metseg_api.keys import Scope
from metseg_api.openapi import JOB_PROBLEMS, answer, links, problems
from metseg_api.webhooks.desk import Webhook

router = APIRouter(tags=["jobs"])


@router.get(
    "/v1/jobs/{job_id}/webhook",
    dependencies=[needs(Scope.READ)],
    response_model=Webhook,
    operation_id="get_webhook",
    summary="See what became of the webhook",
    responses=problems(*JOB_PROBLEMS, WebhookNotFoundError)
    | {
        200: answer(
            "Where the webhook goes, and every attempt at its delivery.",
            WEBHOOK,
            links=links("get_job", job_id="$request.path.job_id"),
        )
    },
)
def get_webhook(job_id: OwnJobId, backends: BackendsOf) -> Webhook:
    """Every attempt to tell the job's end to its `webhook_url`, and when the next one is due."""
    return backends.webhooks.view(job_id)
