"""What stands behind the API: store, queue, models and TF Serving, opened together."""

from dataclasses import dataclass
from typing import Annotated, Self, cast

from fastapi import Depends, Request

from metseg.jobs.store import JobStore
from metseg.models.library import ModelLibrary
from metseg.queue.dispatcher import Dispatcher, redis_breaker
from metseg.queue.heartbeats import JobLeases
from metseg.queue.notifications import JobNotifications
from metseg.queue.reconciler import Reconciler
from metseg.queue.statistics import WaitingLine
from metseg.serving.client import ServingClient
from metseg.storage.blob_store import BlobStore
from metseg.storage.open import open_blob_store
from metseg.tracing.api import Tracer
from metseg.tracing.open import open_tracer
from metseg_api.access import open_key_file
from metseg_api.auth.api_keys import KeyFile
from metseg_api.auth.audit_log import AuditTrail
from metseg_api.auth.oidc import TokenReader
from metseg_api.jobs.cache import KnownJobs
from metseg_api.jobs.reader import JobReader
from metseg_api.rollout.selection import ModelChoice
from metseg_api.settings import ApiSettings
from metseg_api.uploads.idempotency import KeysInFlight
from metseg_api.uploads.limits import Admission, Limits
from metseg_api.uploads.reservations import Reservations
from metseg_api.webhooks.delivery_loop import DeliveryLoop, Watched
from metseg_api.webhooks.metrics import WebhookFigures
from metseg_api.webhooks.sender import Sender
from metseg_api.webhooks.service import WebhookService

SERVING_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Backends:
    """The outside systems, each behind its own class.

    `keys` is None where access is not controlled, `tokens` where those of no issuer are taken.
    """

    settings: ApiSettings
    blobs: BlobStore
    jobs: JobStore
    dispatcher: Dispatcher
    news: JobNotifications
    holders: JobLeases
    line: WaitingLine
    in_flight: KeysInFlight
    keys: KeyFile | None
    tokens: TokenReader | None
    known: KnownJobs
    audit: AuditTrail
    admission: Admission
    reservations: Reservations
    webhooks: WebhookService
    webhook_figures: WebhookFigures
    models: ModelLibrary
    serving: ServingClient
    tracer: Tracer

    @classmethod
    def open(cls, settings: ApiSettings) -> Self:
        """Make the clients; none of them needs its other side to be up yet."""
        blobs = open_blob_store(settings.store)
        jobs = JobStore(blobs)
        breaker = redis_breaker()
        holders = JobLeases(settings.redis_url, breaker)
        line = WaitingLine(settings.redis_url, breaker)
        limits = Limits.of(settings)
        return cls(
            settings=settings,
            blobs=blobs,
            jobs=jobs,
            dispatcher=Dispatcher(settings.redis_url, breaker),
            news=JobNotifications(settings.redis_url),
            holders=holders,
            line=line,
            in_flight=KeysInFlight(settings.redis_url, breaker),
            keys=open_key_file(settings, jobs),
            tokens=TokenReader.of(settings),
            known=KnownJobs(jobs),
            audit=AuditTrail(blobs),
            admission=Admission(settings.redis_url, limits, breaker),
            reservations=Reservations(settings.redis_url, limits, jobs, holders, line, breaker),
            webhooks=WebhookService.of(settings, jobs),
            webhook_figures=WebhookFigures(),
            models=ModelLibrary(settings.models),
            serving=ServingClient(settings.serving, timeout_s=SERVING_TIMEOUT_S),
            tracer=open_tracer("metseg-api", settings),
        )

    @property
    def reader(self) -> JobReader:
        """Puts jobs together."""
        return JobReader(self.jobs, self.known, self.dispatcher, self.line)

    @property
    def reconciler(self) -> Reconciler:
        """The loop that recovers orphaned jobs."""
        return Reconciler(self.jobs, self.dispatcher, self.holders, timeout_s=self.settings.job_timeout_s)

    @property
    def delivery_loop(self) -> DeliveryLoop:
        """Delivers webhooks."""
        watched = Watched(self.webhook_figures, self.tracer)
        return DeliveryLoop(self.reader, self.webhooks, Sender(self.webhooks.targets).send, watched)

    def close(self) -> None:
        """Give the connections back."""
        self.reservations.close()
        self.dispatcher.close()
        self.news.close()
        self.holders.close()
        self.line.close()
        self.admission.close()
        self.in_flight.close()
        self.serving.close()
        self.tracer.close()

    def check_queue(self) -> None:
        """Ask whether one more job could be queued right now.

        Raises:
            QueueFullError: The queue is full.
            QueueUnavailableError: Redis does not answer, or takes no writes.
        """
        self.dispatcher.check_writable()
        self.admission.check_queue(self.dispatcher, self.line)

    def check_store(self) -> None:
        """Ask whether an upload could be stored right now.

        Raises:
            StoreFullError: Too little room is left.
            StoreUnavailableError: The store cannot be written.
        """
        self.admission.check_store(self.blobs)

    @property
    def choice(self) -> ModelChoice:
        """Says which version of a model a job gets."""
        settings = self.settings
        return ModelChoice(settings.models, self.serving, settings.canary_share, settings.canary_compared)


def backends_of(request: Request) -> Backends:
    """What stands behind the application that a request came to."""
    return cast(Backends, request.app.state.backends)


async def _from_request(request: Request) -> Backends:  # a plain function would take a thread each time
    return backends_of(request)


BackendsOf = Annotated[Backends, Depends(_from_request)]
