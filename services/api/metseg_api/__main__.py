"""`metseg-api`: serve the API until told to stop, or make keys and read the audit trail."""

import logging
import socket
import sys
from collections.abc import Sequence

import uvicorn

from metseg.errors import MetsegError
from metseg.jobs.store import JobStore
from metseg.logs import RepeatLimit, set_up_logging
from metseg.storage.open import open_blob_store
from metseg.tracing.open import load_tracing
from metseg_api.access import open_key_file
from metseg_api.app import create_app
from metseg_api.auth.oidc import TokenReader
from metseg_api.cli import read_arguments
from metseg_api.server import BACKLOG, server_config
from metseg_api.settings import ApiSettings

REPEATING = ("uvicorn.error", "asyncio", "metseg_api.connections")
"""Loggers that write a line for each connection that is amiss."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve, or run the command that was given; what goes wrong ends with one clear line."""
    given = read_arguments(arguments)
    try:
        settings = ApiSettings.from_env()
        if given.run is not None:
            given.run(settings, given)
            return
        open_key_file(settings, JobStore(open_blob_store(settings.store)))
        TokenReader.of(settings)
        load_tracing(settings)
    except MetsegError as exc:
        sys.exit(f"metseg-api: {exc}")
    _serve(settings)


def listen(host: str, port: int) -> socket.socket:
    """A socket whose connections send at once.

    asyncio sees to that for sockets that it makes itself. On others the body of an answer waits for the receipt of
    its head, which the caller's system delays by 40 ms.

    Raises:
        OSError: The port is taken or may not be used.
    """
    listener = socket.create_server((host, port), backlog=BACKLOG)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _serve(settings: ApiSettings) -> None:
    try:
        listener = listen(settings.host, settings.api_port)
    except OSError as exc:
        place = f"{settings.host}:{settings.api_port}"
        sys.exit(f"metseg-api: cannot listen on {place} ({exc.strerror}); METSEG_API_PORT chooses another port")
    set_up_logging()
    # The form parser quotes bytes of the upload in its warnings.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    # It writes the address of every webhook that it sends.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for name in REPEATING:
        logging.getLogger(name).addFilter(RepeatLimit())
    config = server_config(create_app(settings), settings)
    with listener:
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
