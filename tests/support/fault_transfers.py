"""Faults in the middle of an upload or a download."""

import hashlib
import socket
import time
from contextlib import suppress
from random import Random

import httpx
from fault_stack import FaultStack

UPLOAD_BYTES = 9_000_000


def begin_upload(stack: FaultStack, rng: Random) -> socket.socket:
    """A connection over which the first part of a scan went."""
    head = ["POST /v1/jobs HTTP/1.1", "Host: localhost", "Content-Type: multipart/form-data; boundary=b"]
    head += [f"Content-Length: {UPLOAD_BYTES}", "", "--b"]
    head += ['Content-Disposition: form-data; name="file"; filename="a"', "", ""]
    host, port = stack.url.removeprefix("http://").split(":")
    sender = socket.create_connection((host, int(port)), timeout=5)
    sender.sendall("\r\n".join(head).encode() + bytes(rng.randrange(1_000_000, 4_000_000)))
    return sender


def kill_api_in_the_middle_of_an_upload(stack: FaultStack, rng: Random) -> None:
    with begin_upload(stack, rng):
        time.sleep(0.3 * rng.random())
        stack.kill("api")
    stack.start("api")


def leave_in_the_middle_of_an_upload(stack: FaultStack, rng: Random) -> None:
    begin_upload(stack, rng).close()


def fill_disk_in_the_middle_of_an_upload(stack: FaultStack, rng: Random) -> None:
    with begin_upload(stack, rng) as sender:
        stack.disk.fill(leave_bytes=rng.randrange(100_000))
        with suppress(OSError):  # the API answers before all has come, and closes
            sender.sendall(bytes(4_000_000))
        time.sleep(1 + rng.random())
    stack.disk.free()


def kill_api_in_the_middle_of_a_download(stack: FaultStack, rng: Random) -> None:
    """The receiver goes on where it was cut off, and ends up with the bytes that were published."""
    path, artefact = stack.large_artefact()
    got, kill_at = bytearray(), rng.randrange(1_000_000)
    with httpx.Client(base_url=stack.url, timeout=30) as http:
        with suppress(httpx.TransportError), http.stream("GET", path) as answer:
            for piece in answer.iter_raw(1 << 16):
                got += piece
                if kill_at is not None and len(got) > kill_at:
                    kill_at = None
                    stack.kill("api")
        stack.start("api")
        assert 0 < len(got) < artefact.size_bytes, "it was not cut off in the middle"
        headers = {"Range": f"bytes={len(got)}-", "If-Range": f'"{artefact.sha256}"'}
        rest = http.get(path, headers=headers)
    assert rest.status_code == 206, rest.text
    assert hashlib.sha256(got + rest.content).hexdigest() == artefact.sha256
