"""Both ports and the models behind them, from start to stop."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import grpc
import uvicorn

from metseg_serving.config import read_models
from metseg_serving.endpoints import grpc_service, health, rest
from metseg_serving.models.library import ServedModels
from metseg_serving.ports import Ports
from metseg_serving.refusal import Refusal
from metseg_serving.rules import ServerRules
from metseg_serving.settings import ConfigError

log = logging.getLogger(__name__)

GRACE_S: Final = 10.0
LARGEST_MESSAGE_BYTES: Final = 2**31 - 1
"""What TF Serving accepts unless a channel argument says otherwise; gRPC's own limit is 4 MiB."""


async def serve(models: ServedModels, ports: Ports, rules: ServerRules) -> None:
    """Load the models, open the ports, and serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: A port is taken.
        Refusal: There is nothing to serve, or a model cannot be loaded.
    """
    stop = asyncio.create_task(_stop_signal())
    loading = asyncio.create_task(models.load_initial())
    await asyncio.wait([stop, loading], return_when=asyncio.FIRST_COMPLETED)
    try:
        if loading.done():
            loading.result()
            async with _grpc_port(models, ports, rules), _rest_port(models, ports, rules):
                log.info("ready: gRPC on %s:%d, REST on %s:%d", ports.host, ports.grpc, ports.host, ports.rest)
                following = [asyncio.create_task(models.follow(rules.poll_s))]
                if rules.config_file is not None and rules.config_poll_s > 0:
                    following.append(asyncio.create_task(_follow_config(models, rules.config_file, rules)))
                await stop
                for task in following:
                    task.cancel()
    finally:
        loading.cancel()
        models.close()
    log.info("stopped")


async def _follow_config(models: ServedModels, file: Path, rules: ServerRules) -> None:
    """Read the models file again and again; one that cannot be used changes nothing."""
    while True:
        await asyncio.sleep(rules.config_poll_s)
        try:
            await models.reload(read_models(file, rules.models))
        except (ConfigError, Refusal) as exc:
            log.error("the models file is not followed: %s", exc)


async def _stop_signal() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


@contextlib.asynccontextmanager
async def _grpc_port(models: ServedModels, ports: Ports, rules: ServerRules) -> AsyncIterator[None]:
    options = {
        "grpc.so_reuseport": 0,  # otherwise two servers may share a port, and each gets some of the calls
        "grpc.max_receive_message_length": LARGEST_MESSAGE_BYTES,
        **dict(rules.channel_arguments),
    }
    server = grpc.aio.server(options=list(options.items()))
    grpc_service.register(server, models, rules)
    if rules.health_check:
        health.register(server)
    try:
        server.add_insecure_port(f"{ports.host}:{ports.grpc}")
    except RuntimeError as exc:
        raise ConfigError(f"port {ports.grpc} on {ports.host}: cannot be listened on") from exc
    await server.start()
    try:
        yield
    finally:
        await server.stop(GRACE_S)


@contextlib.asynccontextmanager
async def _rest_port(models: ServedModels, ports: Ports, rules: ServerRules) -> AsyncIterator[None]:
    if not ports.rest:
        yield
        return
    config = uvicorn.Config(
        rest.create_app(models, rules.metrics_path),
        access_log=False,
        log_config=None,
        lifespan="off",
        log_level=logging.WARNING,
        timeout_graceful_shutdown=int(GRACE_S),
    )
    server = _RestServer(config)
    serving = asyncio.create_task(server.serve(sockets=[ports.listen(ports.rest)]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


class _RestServer(uvicorn.Server):
    """Leaves the signals of the process to `serve`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
