"""Requests as fast as one core can make them, over plain sockets: no client library is timed with the server."""

import asyncio
import socket
import time
from dataclasses import dataclass

import numpy as np

BOUNDARY = b"metsegbenchmark"


@dataclass(frozen=True)
class Timed:
    """Many requests that were answered: how long each took, in seconds, and all together."""

    each_s: list[float]
    in_all_s: float

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.each_s) / self.in_all_s

    def percentile_ms(self, percent: float) -> float:
        """Time within which so many of a hundred were answered."""
        return float(np.percentile(self.each_s, percent)) * 1000


def poll(port: int, path: str, *, clients: int, seconds: float) -> Timed:
    """Ask the same again and again over some connections.

    Raises:
        ValueError: An answer was not 200.
    """
    return asyncio.run(_poll(port, path, clients, seconds))


async def _poll(port: int, path: str, clients: int, seconds: float) -> Timed:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.perf_counter()) < until:
            writer.write(request)
            await _answered(reader)
            took.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(clients)))
    return Timed(took, time.perf_counter() - began)


async def _answered(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200 "):
        raise ValueError(f"expected an answer of 200, got {head[:32]!r}")
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    await reader.readexactly(length)


def upload_s(port: int, path: str, size_bytes: int) -> float:
    """Seconds from the last byte of an upload to the first of its answer.

    Raises:
        ValueError: The answer was not 202.
    """
    before = (
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n"
    )
    after = b"\r\n--" + BOUNDARY + b"--\r\n"
    length = len(before) + size_bytes + len(after)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n".encode()
    head += b"Content-Type: multipart/form-data; boundary=" + BOUNDARY + b"\r\n\r\n"
    chunk = bytes(1 << 20)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall(head + before)
        for at in range(0, size_bytes, len(chunk)):
            line.sendall(chunk[: size_bytes - at])
        line.sendall(after)
        sent = time.perf_counter()
        answer = line.recv(64)
        took = time.perf_counter() - sent
    if not answer.startswith(b"HTTP/1.1 202 "):
        raise ValueError(f"expected an answer of 202, got {answer[:32]!r}")
    return took


def open_stream(port: int, path: str) -> socket.socket:
    """A stream of events of which the first has come."""
    line = socket.create_connection(("127.0.0.1", port), timeout=60)
    line.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    got = b""
    while b"data: " not in got:
        got += line.recv(1 << 16)
    return line
