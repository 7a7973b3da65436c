"""`metseg-api`: serve the API until told to stop, or make keys and read the audit trail."""

import logging
import socket
import sys
from collections.abc import Sequence

import uvicorn

from metseg.errors import MetsegError
from metseg.logs import set_up_logging
from metseg.tracing import load_tracing
from metseg_api.app import create_app
from metseg_api.console import read_arguments
from metseg_api.oidc import TokenReader
from metseg_api.settings import ApiSettings

GRACE_S = 5


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve, or run the command that was given; what goes wrong ends with one clear line."""
    given = read_arguments(arguments)
    try:
        settings = ApiSettings.from_env()
        if given.run is not None:
            given.run(settings, given)
            return
        settings.key_file()
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
    listener = socket.create_server((host, port), backlog=256)
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
    config = uvicorn.Config(
        create_app(settings),
        log_config=None,
        access_log=False,  # `edge` logs requests, without paths and queries
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=GRACE_S,
    )
    with listener:
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
