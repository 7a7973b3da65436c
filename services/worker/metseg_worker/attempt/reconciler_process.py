"""The worker's second process: runs the reconciler, and asks whether the model server is there.

A process of its own, since the parent forks for every job: it holds no threads and no connection to the store.
"""

import logging
import multiprocessing
import os
import signal
from contextlib import closing
from multiprocessing.process import BaseProcess
from threading import Event, Thread

from metseg.jobs.store import JobStore
from metseg.queue.dispatcher import Dispatcher
from metseg.queue.heartbeats import JobLeases
from metseg.queue.reconciler import Reconciler
from metseg.storage.open import open_blob_store
from metseg_worker.attempt.serving_probe import ServingProbe
from metseg_worker.settings import WorkerSettings

logger = logging.getLogger(__name__)


class ReconcilerProcess:
    """Runs a `Reconciler` and a `ServingProbe` beside the worker, and dies with it."""

    def __init__(self, settings: WorkerSettings, probe: ServingProbe) -> None:
        """Take what it runs by; nothing runs yet."""
        self._settings, self._probe = settings, probe
        self._process: BaseProcess | None = None

    def ensure(self) -> None:
        """Start the process, unless it runs."""
        if self._process is None or not self._process.is_alive():
            context = multiprocessing.get_context("fork")
            given = (self._settings, self._probe, os.getpid())
            self._process = context.Process(target=_keep, args=given, daemon=True)
            self._process.start()

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.terminate()
            self._process.join()


def _keep(settings: WorkerSettings, probe: ServingProbe, parent: int) -> None:
    told = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())

    def wait(seconds: float) -> bool:
        return told.wait(seconds) or os.getppid() != parent

    Thread(target=probe.run, args=(wait,), name="serving-probe", daemon=True).start()
    store = JobStore(open_blob_store(settings.store, make=False))
    with (
        closing(Dispatcher(settings.redis_url)) as dispatcher,
        closing(JobLeases(settings.redis_url)) as holders,
    ):
        Reconciler(store, dispatcher, holders, timeout_s=settings.job_timeout_s).run(wait)
