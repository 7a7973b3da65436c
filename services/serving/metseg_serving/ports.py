"""The addresses of the two ports."""

import errno
import os
import socket
from dataclasses import dataclass

from metseg_serving.settings import ConfigError


@dataclass(frozen=True)
class Ports:
    """Where to listen; REST port 0 leaves that side out."""

    host: str
    grpc: int
    rest: int = 0

    def check(self) -> None:
        """Make sure, before models are loaded, that both ports can be had.

        Raises:
            ConfigError: One is taken or may not be used.
        """
        if self.grpc == self.rest:
            raise ConfigError(f"gRPC and REST cannot share port {self.grpc}")
        for port in (self.grpc, self.rest):
            if port:
                self.listen(port).close()

    def listen(self, port: int) -> socket.socket:
        """A socket bound to a port, not yet accepting.

        Raises:
            ConfigError: The port is taken or may not be used.
        """
        try:
            return socket.create_server((self.host, port), backlog=128, reuse_port=False)
        except OSError as exc:
            reason = "is taken" if exc.errno == errno.EADDRINUSE else os.strerror(exc.errno or 0)
            raise ConfigError(f"port {port} on {self.host}: {reason}") from exc
