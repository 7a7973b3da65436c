"""How uvicorn serves the application: without its own log of requests, and within the limit of open files."""

import logging
import resource

import uvicorn
from fastapi import FastAPI

from metseg_api.connections import guarded_protocol
from metseg_api.settings import ApiSettings

GRACE_S = 5
BACKLOG = 256
RESERVED_FILES = 512
"""Open files that are no connections: one an upload or a download, Redis, logs, and a full backlog."""
FEWEST_CONNECTIONS = 16

logger = logging.getLogger(__name__)


def server_config(app: FastAPI, settings: ApiSettings) -> uvicorn.Config:
    """Return how the application is served; raises this process' limit of open files as far as it is needed."""
    return uvicorn.Config(
        app,
        http=guarded_protocol(_most_connections(settings.max_connections)),
        ws="none",
        backlog=BACKLOG,
        log_config=None,
        access_log=False,  # `edge` logs requests, without paths and queries
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=GRACE_S,
    )


def _most_connections(wanted: int) -> int:
    """Return how many connections the limit of open files leaves room for, at most as many as are wanted."""
    files = _raise_file_limit(wanted + RESERVED_FILES)
    most = max(min(wanted, files - RESERVED_FILES), FEWEST_CONNECTIONS)
    if most < wanted:
        logger.warning("the limit of open files leaves room for %d connections, not %d", most, wanted)
    return most


def _raise_file_limit(wanted: int) -> int:
    """Raise the soft limit of open files towards what is wanted, and return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return raised
