"""HTTP as it goes over the wire, for what no client would send."""

import socket
from dataclasses import dataclass

from api_service import ApiService


@dataclass(frozen=True)
class Answer:
    """The status of an answer (0: the line was closed without one), its headers in small letters, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes


def send(api: ApiService, *pieces: bytes, timeout_s: float = 20) -> Answer:
    """Send pieces one by one and read until the other side closes or has sent its first answer."""
    with socket.create_connection(("127.0.0.1", api.settings.api_port), timeout=timeout_s) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        got = b""
        try:
            for piece in pieces:
                line.sendall(piece)
            while not _is_whole(got) and (more := line.recv(1 << 16)):
                got += more
        except ConnectionError:
            pass  # it was closed while we still wrote
    return _parsed(got)


def send_and_read_all(api: ApiService, data: bytes, timeout_s: float = 20) -> bytes:
    """Send bytes and return all that comes until the other side closes the line."""
    with socket.create_connection(("127.0.0.1", api.settings.api_port), timeout=timeout_s) as line:
        line.sendall(data)
        got = b""
        while more := line.recv(1 << 16):
            got += more
    return got


def get(api: ApiService, target: bytes, *headers: bytes) -> Answer:
    lines = [b"GET " + target + b" HTTP/1.1", b"Host: localhost", b"Connection: close", *headers]
    return send(api, b"\r\n".join(lines) + b"\r\n\r\n")


def _is_whole(got: bytes) -> bool:
    answer = _parsed(got)
    return answer.status > 0 and len(answer.body) >= int(answer.headers.get("content-length", 1 << 40))


def _parsed(got: bytes) -> Answer:
    head, found, body = got.partition(b"\r\n\r\n")
    if not found:
        return Answer(0, {}, b"")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Answer(int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}, body)
