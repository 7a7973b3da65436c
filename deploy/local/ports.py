"""Whether the ports of the local stack are free."""

import errno
import socket
from collections.abc import Mapping


class PortError(RuntimeError):
    """A port cannot be used; the message names the variable that changes it."""


def check_ports(ports: Mapping[str, int], host: str = "127.0.0.1") -> None:
    """Make sure that every port can be listened on.

    Args:
        ports: Port by the name of the variable that sets it.
        host: Address the services will listen on.

    Raises:
        PortError: Two variables name one port, or something listens there already.
    """
    seen: dict[int, str] = {}
    for variable, port in ports.items():
        if port in seen:
            raise PortError(f"{seen[port]} and {variable} both say {port}; change one of them.")
        seen[port] = variable
        if not _is_free(host, port):
            raise PortError(
                f"Port {port} is taken by another program. "
                f"Set {variable} to a free one, for instance {variable}={free_port(host)}."
            )


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as exc:
            if exc.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port
