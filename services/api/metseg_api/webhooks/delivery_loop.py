"""Delivers what is due, in every API at once: an attempt belongs to the process that claims it in the store.

Nothing of it is in Redis. What an API leaves behind that dies, the others find in the store, or it itself when it
is back: a delivery that nobody attempted, and an attempt that never ended.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskGroup
from anyio.to_thread import run_sync

from metseg.errors import JobGoneError, JobNotFoundError, MetsegError, StoreError, StoreUnavailableError
from metseg.logs import frames
from metseg.schemas.job import JobRecord
from metseg.tracing.api import Side, Tracer
from metseg_api.jobs.reader import JobReader
from metseg_api.webhooks.deliveries import DeliveryState, Outcome, standing
from metseg_api.webhooks.metrics import WebhookFigures
from metseg_api.webhooks.payload import body_of, signed_headers
from metseg_api.webhooks.sender import ATTEMPT_S, Answer
from metseg_api.webhooks.service import WebhookService

LOOK_EVERY_S: Final = 1.0
REST_SHARE: Final = 4
"""After a round of looks comes a rest of at least so many times its length, however many jobs are under way."""
MOST_AT_ONCE: Final = 20
MOST_TO_ONE_HOST: Final = 5
"""So that a receiver that lets every attempt hang does not hold up the others."""
LOST_S: Final = 3 * ATTEMPT_S
"""An attempt that has not ended at every look for so long is lost with the process that made it."""
UNCREATED_S: Final = 300.0
"""How long the wish for a webhook is kept of a job that is not there: it is put down before its job is."""

Send = Callable[[str, Mapping[str, str], bytes], Awaitable[Answer]]
"""From an address, headers and a body to what came of it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Delivery:
    """An attempt that is to be made now."""

    record: JobRecord
    number: int
    job_ended_at: datetime

    @property
    def url(self) -> str:
        """Where it goes."""
        return self.record.request.webhook_url or ""

    @property
    def host(self) -> str | None:
        """Whom it is for; None for an address that cannot be taken apart, and which the attempt will refuse."""
        try:
            return urlsplit(self.url).hostname
        except ValueError:
            return None


@dataclass(frozen=True)
class Watched:
    """Where an operator sees what is done."""

    figures: WebhookFigures
    tracer: Tracer


class DeliveryLoop:
    """Made once in each API; `run` is to run beside its requests."""

    def __init__(self, reader: JobReader, service: WebhookService, send: Send, watched: Watched) -> None:
        self._reader, self._jobs = reader, reader.jobs
        self._deliveries, self._secrets, self._send = service.deliveries, service.secrets, send
        self._figures, self._tracer = watched.figures, watched.tracer
        self._under_way: dict[str, _Delivery] = {}
        self._since: dict[tuple[str, int], float] = {}
        self._troubled = False
        self._damaged: set[str] = set()

    async def run(self) -> None:
        """Look for what is due, again and again."""
        self._under_way.clear()  # of a run before that ended in an error
        async with anyio.create_task_group() as beside:
            while True:
                began = time.monotonic()
                await self._look(beside)
                await anyio.sleep(max(LOOK_EVERY_S, REST_SHARE * (time.monotonic() - began)))

    async def _look(self, beside: TaskGroup) -> None:
        try:
            deliveries = await run_sync(self._due_deliveries)
        except StoreError as exc:
            if not self._troubled:
                _log.warning("webhooks are not delivered now", extra={"code": exc.code})
            self._troubled = True
            return
        self._troubled = False
        for delivery in deliveries:
            self._under_way[delivery.record.id] = delivery
            beside.start_soon(self._deliver, delivery)

    def _due_deliveries(self) -> list[_Delivery]:
        """What is to be attempted now, the oldest job's first."""
        found: list[_Delivery] = []
        for job_id in self._deliveries.due():
            if len(found) + len(self._under_way) >= MOST_AT_ONCE:
                break
            if job_id in self._under_way:
                continue
            try:
                delivery = self._next_delivery(job_id)
            except StoreUnavailableError:
                raise
            except Exception as exc:  # noqa: BLE001  one damaged job does not hold up the others
                self._log_damaged(job_id, exc)
                continue
            if delivery is not None and self._may_begin(delivery, found):
                found.append(delivery)
        return found

    def _log_damaged(self, job_id: str, error: Exception) -> None:
        if job_id not in self._damaged:
            self._damaged.add(job_id)
            fields = {"job_id": job_id, "error": type(error).__name__, "frames": frames(error.__traceback__)}
            _log.error("a webhook cannot be looked after", extra=fields)

    def _may_begin(self, delivery: _Delivery, beside: Iterable[_Delivery]) -> bool:
        hosts = [one.host for one in (*self._under_way.values(), *beside)]
        return hosts.count(delivery.host) < MOST_TO_ONE_HOST

    def _next_delivery(self, job_id: str) -> _Delivery | None:
        """The attempt that is due for a job now, if one is."""
        try:
            record = self._jobs.load(job_id)
        except JobGoneError:
            self._jobs.discard(job_id)  # what an attempt noted after it was erased
            self._settle(job_id)
            return None
        except JobNotFoundError:
            if self._unchanged_s(job_id, 0) > UNCREATED_S:
                self._settle(job_id)
            return None
        final = self._jobs.final(job_id)
        if final is None:
            return None
        attempts = self._deliveries.attempts(job_id)
        stands = standing(attempts, final.finished_at)
        if stands.state is not DeliveryState.PENDING:
            self._settle(job_id)
            return None
        if stands.next_at is None:
            self._end_if_lost(_Delivery(record, attempts[-1].number, final.finished_at))
            return None
        due = stands.next_at <= datetime.now(UTC)
        return _Delivery(record, len(attempts) + 1, final.finished_at) if due else None

    def _end_if_lost(self, delivery: _Delivery) -> None:
        job_id, number = delivery.record.id, delivery.number
        if self._unchanged_s(job_id, number) > LOST_S:
            _log.warning("webhook attempt was lost", extra={"job_id": job_id, "attempt": number})
            self._end(delivery, Answer(Outcome.LOST))

    def _end(self, delivery: _Delivery, answer: Answer) -> None:
        """Note and count how an attempt ended, unless another process did."""
        if self._deliveries.end(delivery.record.id, delivery.number, answer.outcome, answer.status):
            self._figures.count(delivery.number, answer.outcome, answer.status, delivery.job_ended_at)

    def _unchanged_s(self, job_id: str, number: int) -> float:
        """For how long this process has seen an attempt, or 0 for a missing job, as it is, by its own clock."""
        now = time.monotonic()
        return now - self._since.setdefault((job_id, number), now)

    def _settle(self, job_id: str) -> None:
        self._deliveries.settle(job_id)
        self._damaged.discard(job_id)
        self._since = {key: since for key, since in self._since.items() if key[0] != job_id}

    async def _deliver(self, delivery: _Delivery) -> None:
        job_id, number = delivery.record.id, delivery.number
        answer = Answer(Outcome.LOST)
        try:
            if not await run_sync(self._deliveries.claim, job_id, number):
                return
            try:
                answer = await self._traced(delivery)
            finally:
                with anyio.CancelScope(shield=True):
                    await run_sync(self._end, delivery, answer)
        except MetsegError as exc:
            _log.warning("webhook attempt failed", extra={"job_id": job_id, "attempt": number, "code": exc.code})
        except Exception as exc:  # noqa: BLE001  one receiver's attempt does not end those of the others
            fields = {"job_id": job_id, "attempt": number, "error": type(exc).__name__}
            _log.error("webhook attempt broke", extra=fields | {"frames": frames(exc.__traceback__)})
        else:
            told = {"job_id": job_id, "attempt": number, "code": answer.outcome.value, "status": answer.status}
            _log.info("webhook attempt", extra=told)
        finally:
            del self._under_way[job_id]

    async def _traced(self, delivery: _Delivery) -> Answer:
        """An attempt as a span of its job's trace."""
        parent, job_id = delivery.record.traceparent, delivery.record.id
        with self._tracer.span(
            "webhook", side=Side.CLIENT, parent=parent, job_id=job_id, attempt=delivery.number
        ) as span:
            answer = await self._attempt(delivery)
            span.tell(status=answer.status)
            if answer.outcome is not Outcome.DELIVERED:
                span.end(answer.outcome.value)
        return answer

    async def _attempt(self, delivery: _Delivery) -> Answer:
        record = delivery.record
        body = body_of(await run_sync(self._reader.read, record.id))
        keys = [one.key for one in await run_sync(self._secrets.signing, record.owner)]
        headers = signed_headers(record.id, body, keys, datetime.now(UTC))
        return await self._send(delivery.url, headers, body)
