"""The worker's second process, which looks after the jobs that nobody has.

A process of its own, since the parent forks for every job: it holds no threads and no connection to the store.
"""

import logging
import multiprocessing
import os
import signal
from contextlib import closing
from multiprocessing.process import BaseProcess
from threading import Event

from metseg.blobs import open_blob_store
from metseg.dispatch import Dispatcher
from metseg.holders import Holders
from metseg.jobstore import JobStore
from metseg.reconciler import Reconciler
from metseg_worker.settings import WorkerSettings

logger = logging.getLogger(__name__)


class Keeper:
    """Runs a `Reconciler` beside the worker, and dies with it."""

    def __init__(self, settings: WorkerSettings) -> None:
        """Take the settings; nothing runs yet."""
        self._settings = settings
        self._process: BaseProcess | None = None

    def ensure(self) -> None:
        """Start the process, unless it runs."""
        if self._process is None or not self._process.is_alive():
            context = multiprocessing.get_context("fork")
            self._process = context.Process(target=_keep, args=(self._settings, os.getpid()), daemon=True)
            self._process.start()

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.terminate()
            self._process.join()


def _keep(settings: WorkerSettings, parent: int) -> None:
    told = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())

    def wait(seconds: float) -> bool:
        return told.wait(seconds) or os.getppid() != parent

    store = JobStore(open_blob_store(settings.store, make=False))
    with (
        closing(Dispatcher(settings.redis_url)) as dispatcher,
        closing(Holders(settings.redis_url)) as holders,
    ):
        Reconciler(store, dispatcher, holders, timeout_s=settings.job_timeout_s).run(wait)
