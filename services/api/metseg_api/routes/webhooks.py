"""What became of a job's webhook, and what it sends."""

from typing import Annotated

from fastapi import APIRouter, Body, Header

from metseg_api.auth.api_keys import Scope
from metseg_api.backends import BackendsOf
from metseg_api.errors import WebhookNotFoundError
from metseg_api.openapi.document import JOB_PROBLEMS, answer, links, problems
from metseg_api.openapi.examples import JOB_ENDED, SIGNATURE, WEBHOOK
from metseg_api.routes.dependencies import OwnJobId, needs
from metseg_api.webhooks.payload import JobEnded
from metseg_api.webhooks.service import Webhook

router = APIRouter(tags=["jobs"])
calls = APIRouter(tags=["jobs"])
"""Not answered here: what a receiver has to answer."""


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


@calls.post(
    "job_ended",
    status_code=204,
    operation_id="job_ended",
    summary="A job has ended",
    responses={204: {"description": "Heard. Any 2xx will do; anything else is tried again."}},
)
def job_ended(
    body: Annotated[JobEnded, Body(openapi_examples={"succeeded": {"value": JOB_ENDED}})],
    webhook_id: Annotated[
        str, Header(description="The same in every attempt.", examples=[SIGNATURE["webhook-id"]])
    ],
    webhook_timestamp: Annotated[
        int, Header(description="When this attempt was made.", examples=[SIGNATURE["webhook-timestamp"]])
    ],
    webhook_signature: Annotated[
        str,
        Header(
            description="One or more signatures, each `v1,` and base64, with blanks between them.",
            examples=[SIGNATURE["webhook-signature"]],
        ),
    ],
) -> None:
    """Sent to the `webhook_url` of a job, once it has ended, as Standard Webhooks describes it."""
