"""How fast the API answers on one core, beside bare FastAPI routes doing nothing: `python -m benchmarks.api`.

API and bare routes run on the same core, one of them asked at a time; Redis and the load have the others. The
store is a local folder, access is not controlled, and jobs are moved on twice a second as a worker does it. On a
machine that has other work, or one core alone, only the processor time and the memory mean anything.
"""

import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil

from benchmarks.api_rig import Rig, rig
from benchmarks.http_load import Timed, open_stream, poll, upload_s

POLL_S = 6.0
POLLERS = 8
RUNNING = 8
UPLOADS = {1: 5, 10: 5, 100: 3}
"""How often an upload of so many megabytes (10^6 bytes) is timed."""
CHANGES = 20
STREAMS = 500


def main() -> int:
    """Measure and tell, within a minute and a half."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, rig(Path(folder)) as made:
        _tell("", "metseg-api", "bare route", "ratio")
        job_ids = [made.running_job() for _ in range(RUNNING)]
        with made.busy(job_ids):
            _tell_polls(made, job_ids[0])
        for megabytes, times in UPLOADS.items():
            _tell_upload(made, megabytes, times)
        _tell_events(made, job_ids[0])
        _tell_memory(made, job_ids)
    sys.stdout.write(f"measured in {time.monotonic() - began:.0f} s\n")
    return 0


def _tell_polls(made: Rig, job_id: str) -> None:
    before = [_processor_s(process) for process in (made.api, made.bare)]
    api, bare = (
        poll(port, path, clients=POLLERS, seconds=POLL_S)
        for port, path in ((made.api_port, f"/v1/jobs/{job_id}"), (made.bare_port, "/job"))
    )
    spent = [_processor_s(process) for process in (made.api, made.bare)]
    row = f"polls a second, {POLLERS} clients, {RUNNING} jobs running"
    _tell(row, f"{api.per_second:.0f}", f"{bare.per_second:.0f}", f"{api.per_second / bare.per_second:.2f}")
    for percent in (50, 99):
        _tell_times(f"poll, p{percent}", api.percentile_ms(percent), bare.percentile_ms(percent))
    api_ms, bare_ms = (
        1000 * (after - then) / len(timed.each_s)
        for after, then, timed in zip(spent, before, (api, bare), strict=True)
    )
    _tell_times("processor time of a poll", api_ms, bare_ms)


def _tell_upload(made: Rig, megabytes: int, times: int) -> None:
    api, bare = (
        statistics.median(upload_s(port, path, megabytes * 1_000_000) for _ in range(times)) * 1000
        for port, path in ((made.api_port, "/v1/jobs"), (made.bare_port, "/upload"))
    )
    _tell_times(f"last byte to 202, {megabytes} MB, median of {times}", api, bare)


def _tell_events(made: Rig, job_id: str) -> None:
    def tell_bare() -> None:
        with socket.create_connection(("127.0.0.1", made.bare_port)) as line:
            line.sendall(b"POST /tell HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    fractions = iter(range(CHANGES))
    api = _event_latency(
        made.api_port,
        f"/v1/jobs/{job_id}/events",
        lambda: made.move_on(job_id, 0.5 + next(fractions) / (2 * CHANGES)),
    )
    bare = _event_latency(made.bare_port, "/events", tell_bare)
    for percent in (50, 99):
        _tell_times(f"change to event, p{percent}", api.percentile_ms(percent), bare.percentile_ms(percent))


def _event_latency(port: int, path: str, change: Callable[[], None]) -> Timed:
    took: list[float] = []
    with open_stream(port, path) as line:
        for number in range(CHANGES):
            time.sleep(0.05 + number * 0.01)  # at no fixed point of the looks
            began = time.perf_counter()
            change()
            while b"data: " not in line.recv(1 << 16):
                pass
            took.append(time.perf_counter() - began)
    return Timed(took, sum(took))


def _tell_memory(made: Rig, job_ids: list[str]) -> None:
    paths = [f"/v1/jobs/{job_id}/events" for job_id in job_ids]
    grown = []
    for process, port, of in ((made.api, made.api_port, paths), (made.bare, made.bare_port, ["/events"])):
        before = _resident_mib(process)
        with ExitStack() as stack:
            for number in range(STREAMS):
                stack.enter_context(open_stream(port, of[number % len(of)]))
            with_streams = _resident_mib(process)
        grown.append(with_streams - before)
        name = "metseg-api" if process is made.api else "bare routes"
        sys.stdout.write(f"{name}: {before:.1f} MiB resident, {with_streams:.1f} MiB with {STREAMS} streams\n")
    api, bare = grown
    _tell(
        f"MiB for {STREAMS} open event streams", f"{api:.1f}", f"{bare:.1f}", f"{api / bare:.2f}" if bare else ""
    )


def _processor_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _resident_mib(process: psutil.Process) -> float:
    resident: float = process.memory_info().rss / 2**20
    return resident


def _tell_times(row: str, api_ms: float, bare_ms: float) -> None:
    _tell(row, f"{api_ms:.2f} ms", f"{bare_ms:.2f} ms", f"{api_ms / bare_ms:.1f}")


def _tell(row: str, api: str, bare: str, ratio: str) -> None:
    sys.stdout.write(f"{row:46} {api:>12} {bare:>12} {ratio:>8}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
