"""Takes the wish for a webhook in, and tells its owner what became of it."""

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import AwareDatetime

from metseg.jobs.store import JobStore
from metseg.schemas.job import Schema
from metseg_api.errors import WebhookNotFoundError, WebhookRefusedError
from metseg_api.settings import ApiSettings
from metseg_api.webhooks.deliveries import Deliveries, Delivery, DeliveryState, standing
from metseg_api.webhooks.secrets import SecretBook
from metseg_api.webhooks.targets import Targets


class Webhook(Schema):
    """A job's webhook: where it goes, and every attempt at delivering it.

    `next_attempt_at` is None while the job or an attempt is under way, and where nothing more is to come.
    """

    schema_version: Literal[1] = 1
    job_id: str
    url: str
    state: DeliveryState
    next_attempt_at: AwareDatetime | None = None
    attempts: list[Delivery]


@dataclass(frozen=True)
class WebhookService:
    """Everything about webhooks but their delivery, which is the delivery_loop's."""

    jobs: JobStore
    deliveries: Deliveries
    secrets: SecretBook
    targets: Targets

    @classmethod
    def of(cls, settings: ApiSettings, jobs: JobStore) -> Self:
        """The service of an API."""
        return cls(jobs, Deliveries(jobs), SecretBook(jobs.blobs), Targets(settings.webhook_host_names))

    def check_secret(self, owner: str | None) -> None:
        """Make sure that an owner's webhooks can be signed.

        Raises:
            WebhookRefusedError: No secret was ever made for the owner.
        """
        if not self.secrets.signing(owner):
            command = " ".join(["metseg-api webhooks rotate", *([owner] if owner else [])])
            raise WebhookRefusedError(
                f"A webhook is signed with a secret, and there is none: `{command}` makes one."
            )

    def view(self, job_id: str) -> Webhook:
        """What became of a job's webhook.

        Raises:
            JobNotFoundError: There is no such job.
            JobGoneError: It was deleted.
            WebhookNotFoundError: It has no webhook.
        """
        url = self.jobs.load(job_id).request.webhook_url
        if url is None:
            raise WebhookNotFoundError("The job was sent without a webhook_url.")
        final = self.jobs.final(job_id)
        attempts = self.deliveries.attempts(job_id)
        stands = standing(attempts, final.finished_at if final else None)
        return Webhook(
            job_id=job_id, url=url, state=stands.state, next_attempt_at=stands.next_at, attempts=attempts
        )
