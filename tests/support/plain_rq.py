"""RQ as somebody with a hold of Redis would use it, and a worker that takes what is there."""

import subprocess
import sys

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from metseg.queue.allow_list import AllowListJob
from metseg.queue.dispatcher import QUEUE_NAMES
from metseg.schemas.job import Priority

ONE_ROUND = """
import sys
from metseg.queue.rq_worker import make_worker
def on_lost(job_id, attempt, reason):
    sys.stdout.write(f"{job_id} {attempt} {reason.code}\\n")
    sys.stdout.flush()
make_worker(sys.argv[1], on_lost).work(burst=True, logging_level="CRITICAL")
"""


def one_round(redis_url: str) -> list[str]:
    """Let a real forking worker empty the queue; the attempts that it reported as lost."""
    command = [sys.executable, "-c", ONE_ROUND, redis_url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()


def plain_queue(redis: Redis, **options: object) -> Queue:
    """RQ's own queue, as somebody with a hold of Redis would use it."""
    return Queue(QUEUE_NAMES[Priority.ROUTINE], connection=redis, **({"serializer": JSONSerializer} | options))


def fetched(redis: Redis, rq_id: str) -> AllowListJob:
    return AllowListJob.fetch(rq_id, connection=redis, serializer=JSONSerializer)
