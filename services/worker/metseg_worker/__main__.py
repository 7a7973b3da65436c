"""Starts a worker: `metseg-worker`, or `python -m metseg_worker`; `replay <job>` makes a result again instead.

The parent only waits for jobs, so it imports little: numpy, gRPC and nibabel, which every job needs and each
forked child then has, and after the reconciler process was forked, which needs none of them. The imaging
libraries (Pillow, SciPy, connected components, PDF) load in the child.
"""

import argparse
import logging
import sys

from metseg.errors import MetsegError
from metseg.logs import set_up_logging
from metseg.queue.heartbeats import JobLeases
from metseg.queue.rq_worker import WorkRules, work_until_stopped
from metseg.storage.open import open_blob_store
from metseg.tracing.open import load_tracing
from metseg_worker.attempt.lost import LossReport
from metseg_worker.attempt.reconciler_process import ReconcilerProcess
from metseg_worker.attempt.serving_probe import ServingProbe
from metseg_worker.sandbox import restrictions
from metseg_worker.scratch import sweep_scratch
from metseg_worker.settings import WorkerSettings

logger = logging.getLogger(__name__)


def main() -> int:
    """Do what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser("metseg-worker", description="Works until it is told to stop.")
    commands = parser.add_subparsers(dest="command")
    again = commands.add_parser("replay", help="make the result of a job again and compare it")
    again.add_argument("job", help="id of a job that succeeded and has not expired")
    arguments = parser.parse_args()
    if arguments.command != "replay":
        return work()
    from metseg_worker.attempt.replay import replay_command  # the imaging libraries

    return replay_command(arguments.job)


def work() -> int:
    """Work until SIGTERM or SIGINT, which end or give back a running job; 1 when the settings are wrong."""
    set_up_logging()
    try:
        settings = WorkerSettings.from_env()
        open_blob_store(settings.store)  # a wrong place stops the start, and not the first job
        load_tracing(settings)
        holders = JobLeases(settings.redis_url)
    except MetsegError as exc:
        sys.stderr.write(f"metseg-worker: {exc}\n")
        return 1
    probe = ServingProbe(settings)
    reconciler_process = ReconcilerProcess(settings, probe)
    rules = WorkRules(settings.drain_s, settings.serving_patience_s, probe.is_there, reconciler_process.ensure)
    try:
        logger.info("worker starts", extra={"swept": sweep_scratch()})
        restrictions.report()
        reconciler_process.ensure()
        _import_for_all_jobs()
        work_until_stopped(settings.redis_url, LossReport(holders), rules)
    except KeyboardInterrupt:
        logger.info("interrupted")
    finally:
        reconciler_process.stop()
        holders.close()
    return 0


def _import_for_all_jobs() -> None:
    """Load numpy, gRPC and nibabel."""
    import metseg.imaging.volume
    import metseg.serving.client  # noqa: F401


if __name__ == "__main__":
    sys.exit(main())
