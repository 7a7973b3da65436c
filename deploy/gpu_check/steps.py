"""What is tried, one function a step; each returns its line of the report and raises where it fails."""

import json
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from deploy.gpu_check.host import CheckFailedError, Host
from deploy.local.ports import free_port
from metseg.schemas.job import Job, JobState
from metseg_client import MetsegClient
from metseg_client.upload import Choices

JOB_S: Final = 900.0
CONTRACT: Final = ".run/contract"
LOAD: Final = 4
"""Jobs under way while the model server is restarted."""
TRAINING: Final = (
    "metseg-train phantom --out /tmp/heads --count 5 --preset small && "
    "metseg-train fit --cases /tmp/heads --preset small --epochs 1 --epoch-slices 64 --run /tmp/run "
    "--cache /tmp/cache"
)

Told = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What the steps work with.

    Args:
        host: The host.
        api_url: Where the deployment listens.
        scan: The synthetic scan that ships with the repository; no other is ever sent.
    """

    host: Host
    api_url: str
    scan: Path

    @cached_property
    def api_key(self) -> str:
        """A key of the deployment that runs, made when it is first needed."""
        return self.host.compose("run", "--rm", "keys", "create", "gpu-check", timeout_s=120).strip()

    def connect(self) -> MetsegClient:
        """A client of the deployment."""
        return MetsegClient(self.api_url, api_key=self.api_key)


def preflight(bench: Bench) -> Told:
    """Whether containers can use the card, in the words of `make up`."""
    words = bench.host.run("bash", "deploy/compose/preflight.sh", timeout_s=60, SERVING_GPU=bench.host.gpu)
    return {"words": words.strip(), "card": bench.host.card()}


def start(bench: Bench) -> Told:
    """`make up`."""
    said = bench.host.run("bash", "deploy/compose/up.sh", timeout_s=3600)
    return {"said": said.splitlines()[0], "images": bench.host.compose("images").splitlines()}


def contract(bench: Bench) -> Told:
    """The contract suite against a second model server of the same image, which serves the suite's own models."""
    host, rest, grpc = bench.host, free_port(), free_port()
    host.run("make", "contract-models", timeout_s=600)
    (serving,) = json.loads(host.run("docker", "inspect", _container(host, "serving"), timeout_s=60))
    flags = Path(host.folder, CONTRACT, "flags").read_text(encoding="utf-8").split()
    folder = Path(host.folder, CONTRACT)
    device = ("--gpus", f"device={host.gpu}") if serving["HostConfig"].get("DeviceRequests") else ()
    mounts = [part for name in ("models", "config") for part in ("--volume", f"{folder / name}:/{name}:ro")]
    ports = ("--publish", f"127.0.0.1:{grpc}:8500", "--publish", f"127.0.0.1:{rest}:8501")
    growth = ("--env", "TF_FORCE_GPU_ALLOW_GROWTH=true")
    server = ("--entrypoint", "tensorflow_model_server", serving["Config"]["Image"], "--port=8500")
    command = ("docker", "run", "--detach", "--rm", *device, *mounts, *ports, *growth, *server)
    container = host.run(*command, "--rest_api_port=8501", *flags, timeout_s=300).strip()
    try:
        asked = {"METSEG_CONTRACT_TARGET": f"127.0.0.1:{grpc}", "METSEG_CONTRACT_REST_PORT": str(rest)}
        _wait_for_port(rest)
        told = host.run("make", "contract", timeout_s=1200, **asked)
    finally:
        host.run("docker", "stop", container, timeout_s=120)
    return {"image": serving["Config"]["Image"], "result": told.splitlines()[-1]}


def networks(bench: Bench) -> Told:
    """A job for each network, the first of which may find it cold, with the use of the card meanwhile."""
    told: Told = {}
    with bench.connect() as client:
        for model in dict.fromkeys(served.card.name for served in client.models()):
            with bench.host.watching() as use:
                first, second = (_segment(client, bench.scan, model) for _ in range(2))
            slices = client.report(second.id).source.shape[2]
            told[model] = {
                "seconds": [_seconds(first), _seconds(second)],
                "slices_per_second": round(slices / _seconds(second), 2),
                "card": asdict(use),
            }
    return told


def restart_under_load(bench: Bench) -> Told:
    """The model server restarts while jobs run and wait; all of them succeed."""
    with bench.connect() as client:
        ids = [client.submit(bench.scan).id for _ in range(LOAD)]
        began = time.monotonic()
        bench.host.compose("restart", "serving")
        states = [client.wait(job_id, timeout_s=JOB_S).state for job_id in ids]
    if set(states) != {JobState.SUCCEEDED}:
        raise CheckFailedError(f"of {LOAD} jobs ended {[state.value for state in states]}")
    return {"jobs": LOAD, "seconds": round(time.monotonic() - began, 1)}


def trainer_beside_serving(bench: Bench) -> Told:
    """A short training on synthetic heads while the model server keeps its memory; a job still succeeds."""
    with bench.connect() as client, bench.host.watching() as use:
        began = time.monotonic()
        command = ("run", "--rm", "--no-deps", "--entrypoint", "bash", "trainer", "-c", TRAINING)
        bench.host.compose(*command)
        seconds = round(time.monotonic() - began, 1)
        job = _segment(client, bench.scan)
    return {"seconds": seconds, "job_seconds": _seconds(job), "card": asdict(use)}


def writable_root(bench: Bench) -> Told:
    """The model server with a writable root (`GPU_READ_ONLY=false`), then read-only again."""
    told: Told = {}
    for read_only in ("false", "true"):
        up = ("up", "--detach", "--wait", "--wait-timeout", "1200", "serving")
        bench.host.compose(*up, GPU_READ_ONLY=read_only)
        with bench.connect() as client:
            told[f"GPU_READ_ONLY={read_only}"] = {"job_seconds": _seconds(_segment(client, bench.scan))}
    return told


Step = Callable[[Bench], Told]
STEPS: Final[tuple[Step, ...]] = (
    preflight,
    start,
    contract,
    networks,
    restart_under_load,
    trainer_beside_serving,
    writable_root,
)


def _wait_for_port(port: int, within_s: float = 600) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError as exc:
            if time.monotonic() > deadline:
                raise CheckFailedError(f"nothing listened on port {port} within {within_s:g} s") from exc
            time.sleep(1)
        else:
            return


def _container(host: Host, service: str) -> str:
    found = host.compose("ps", "--quiet", service).split()
    if not found:
        raise CheckFailedError(f"no container of {service} runs")
    return found[0]


def _segment(client: MetsegClient, scan: Path, model: str | None = None) -> Job:
    job = client.submit(scan, None if model is None else Choices(model=model))
    ended = client.wait(job.id, timeout_s=JOB_S)
    if ended.state is not JobState.SUCCEEDED:
        raise CheckFailedError(f"a job ended {ended.state.value}: {ended.error and ended.error.code}")
    return ended


def _seconds(job: Job) -> float:
    """From the start of a job to its end."""
    if job.started_at is None or job.finished_at is None:
        raise CheckFailedError("a job that has ended does not tell its times")
    return round((job.finished_at - job.started_at).total_seconds(), 2)
