"""What stands behind the API: store, queue, models and TF Serving, opened together."""

from dataclasses import dataclass
from typing import Annotated, Self, cast

from fastapi import Depends, Request

from metseg.blobs import BlobStore, open_blob_store
from metseg.dispatch import Dispatcher
from metseg.holders import Holders
from metseg.jobstore import JobStore
from metseg.models import ModelLibrary
from metseg.news import News
from metseg.reconciler import Reconciler
from metseg.serving import ServingClient
from metseg.tracing import Tracer, open_tracer
from metseg.waiting_line import WaitingLine
from metseg_api.admission import Admission, Limits
from metseg_api.audit import AuditTrail
from metseg_api.idempotency import KeysInFlight
from metseg_api.keys import KeyFile
from metseg_api.known_jobs import KnownJobs
from metseg_api.oidc import TokenReader
from metseg_api.rollout.choice import ModelChoice
from metseg_api.settings import ApiSettings
from metseg_api.views import JobReader
from metseg_api.webhooks.desk import WebhookDesk
from metseg_api.webhooks.figures import WebhookFigures
from metseg_api.webhooks.postman import Postman, Watched
from metseg_api.webhooks.sending import Sender

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
    news: News
    holders: Holders
    line: WaitingLine
    in_flight: KeysInFlight
    keys: KeyFile | None
    tokens: TokenReader | None
    known: KnownJobs
    audit: AuditTrail
    admission: Admission
    webhooks: WebhookDesk
    webhook_figures: WebhookFigures
    models: ModelLibrary
    serving: ServingClient
    tracer: Tracer

    @classmethod
    def open(cls, settings: ApiSettings) -> Self:
        """Make the clients; none of them needs its other side to be up yet."""
        blobs = open_blob_store(settings.store)
        jobs = JobStore(blobs)
        return cls(
            settings=settings,
            blobs=blobs,
            jobs=jobs,
            dispatcher=Dispatcher(settings.redis_url),
            news=News(settings.redis_url),
            holders=Holders(settings.redis_url),
            line=WaitingLine(settings.redis_url),
            in_flight=KeysInFlight(settings.redis_url),
            keys=settings.key_file(),
            tokens=TokenReader.of(settings),
            known=KnownJobs(jobs),
            audit=AuditTrail(blobs),
            admission=Admission(settings.redis_url, Limits.of(settings)),
            webhooks=WebhookDesk.of(settings, jobs),
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
        """Looks after the jobs that nobody has."""
        return Reconciler(self.jobs, self.dispatcher, self.holders, timeout_s=self.settings.job_timeout_s)

    @property
    def postman(self) -> Postman:
        """Delivers webhooks."""
        watched = Watched(self.webhook_figures, self.tracer)
        return Postman(self.reader, self.webhooks, Sender(self.webhooks.targets).send, watched)

    def close(self) -> None:
        """Give the connections back."""
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
            QueueFullError: As many wait as may wait.
            QueueUnavailableError: Redis does not answer.
        """
        self.admission.check_queue(self.dispatcher, self.line)

    def check_store(self, coming_bytes: int = 0) -> None:
        """Ask whether so many bytes could be stored right now.

        Raises:
            StoreFullError: Too little room would be left.
            StoreUnavailableError: The store cannot be written.
        """
        self.admission.check_store(self.blobs, coming_bytes)

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
