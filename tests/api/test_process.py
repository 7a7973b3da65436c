"""`metseg-api` as a process of its own: memory, temporary files, ports, signals."""

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from api_service import StatusServer, write_cards
from redis_fixture import RedisServer, free_port

from metseg_api.__main__ import listen

MEGABYTE = 1 << 20
BODY_BYTES = 50 * MEGABYTE


@dataclass
class Process:
    handle: subprocess.Popen[bytes]
    url: str
    store: Path
    scratch: Path
    log: Path

    def peak_bytes(self) -> int:
        """Largest resident size since `reset_peak`."""
        for line in Path(f"/proc/{self.handle.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
        raise AssertionError("this kernel tells no peak")

    def reset_peak(self) -> None:
        Path(f"/proc/{self.handle.pid}/clear_refs").write_text("5")


def environment(folder: Path, port: int, redis_url: str, serving_at: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("METSEG_")} | {
        "METSEG_API_PORT": str(port),
        "METSEG_STORE": str(folder / "store"),
        "METSEG_KEYS": str(folder / "keys.json"),
        "METSEG_MODELS": str(folder / "models"),
        "METSEG_REDIS_URL": redis_url,
        "METSEG_SERVING": serving_at,
        "TMPDIR": str(folder / "scratch"),
    }


@contextmanager
def process(folder: Path, redis_url: str, serving_at: str, *, most_files: int | None = None) -> Iterator[Process]:
    port = free_port()
    (folder / "scratch").mkdir()
    log = folder / "api.log"
    limited = [] if most_files is None else ["bash", "-c", f'ulimit -n {most_files}; exec "$@"', "bash"]
    with log.open("wb") as out:
        handle = subprocess.Popen(
            [*limited, sys.executable, "-m", "metseg_api"],
            env=environment(folder, port, redis_url, serving_at),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    running = Process(handle, f"http://127.0.0.1:{port}", folder / "store", folder / "scratch", log)
    try:
        until = time.monotonic() + 30
        while not _alive(running):
            assert handle.poll() is None, log.read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield running
    finally:
        handle.terminate()
        assert handle.wait(timeout=15) in (0, -15), log.read_text()


def _alive(running: Process) -> bool:
    try:
        return httpx.get(f"{running.url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_large_upload_streams_into_the_store_through_little_memory(
    tmp_path: Path, shared_redis: RedisServer, own_status_server: StatusServer
) -> None:
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    with process(tmp_path, shared_redis.url, own_status_server.target) as api:
        idle = psutil.Process(api.handle.pid).memory_info().rss
        api.reset_peak()
        seen: list[int] = []

        def body() -> Iterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            for sent in range(0, BODY_BYTES, MEGABYTE):
                if sent == 40 * MEGABYTE:
                    time.sleep(1)
                    seen.extend(path.stat().st_size for path in api.store.rglob("*.part"))
                    assert list(api.scratch.iterdir()) == []
                yield bytes(MEGABYTE)
            yield b"\r\n--b--\r\n"

        answer = httpx.post(
            f"{api.url}/v1/jobs",
            content=body(),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
            timeout=60,
        )
        grown = api.peak_bytes() - idle
        assert answer.status_code == 202, answer.text
        [stored] = api.store.glob("jobs/*/input/0")
        assert stored.stat().st_size == BODY_BYTES
        assert list(api.scratch.iterdir()) == []
        assert seen
        assert seen[0] >= 35 * MEGABYTE
        assert grown < 24 * MEGABYTE
        for line in api.log.read_text().splitlines():
            assert json.loads(line)["logger"] in ("uvicorn.error", "metseg_api.middleware")


def test_a_thousand_half_sent_requests_keep_nobody_out_and_write_little(
    tmp_path: Path, shared_redis: RedisServer, own_status_server: StatusServer
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip(f"this user may open {hard} files, too few for a thousand connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    serving_at = own_status_server.target
    with process(tmp_path, shared_redis.url, serving_at, most_files=700) as api, ExitStack() as stack:
        place = ("127.0.0.1", int(api.url.rpartition(":")[2]))
        for _ in range(1000):
            line = stack.enter_context(socket.create_connection(place, timeout=30))
            with suppress(ConnectionError):  # closed again, since there are too many
                line.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
        for _ in range(5):
            assert httpx.get(f"{api.url}/healthz", timeout=30).status_code == 200
        assert len(api.log.read_text().splitlines()) < 100


def test_an_answer_does_not_wait_for_the_receipt_of_its_head() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_taken_port_and_a_wrong_setting_end_with_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environ = environment(tmp_path, port, "redis://127.0.0.1:1/0", "127.0.0.1:1")
        result = _run(environ)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert str(port) in result.stderr
    assert "METSEG_API_PORT" in result.stderr
    result = _run(environ | {"METSEG_MAX_UPLOAD_BYTES": "much"})
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "METSEG_MAX_UPLOAD_BYTES" in result.stderr


def _run(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "metseg_api"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
