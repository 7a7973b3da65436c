"""The faults: what is done to a running stack, one at a time."""

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random

import numpy as np
import psutil
from fault_stack import WORKERS, FaultStack, freeze

from metseg.proto import serving_wire_pb2 as wire

Fault = Callable[[FaultStack, Random], object]

FROZEN_S = 25.0
"""Longer than it takes to be given up."""


def busy(stack: FaultStack, rng: Random, within_s: float = 5) -> tuple[str, psutil.Process] | None:
    """A worker with its work-horse, at a random moment of its job; None if all are idle for some seconds."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        for name in rng.sample(WORKERS, len(WORKERS)):
            if (horse := stack.horse(name)) is not None:
                time.sleep(rng.random())
                return name, horse
        time.sleep(0.02)
    return None


def kill_horse(stack: FaultStack, rng: Random) -> None:
    if (found := busy(stack, rng)) is not None:
        with suppress(psutil.NoSuchProcess):
            found[1].kill()


def kill_worker_whole(stack: FaultStack, rng: Random) -> None:
    found = busy(stack, rng)
    name = found[0] if found else rng.choice(WORKERS)
    stack.kill(name, *stack.members(name))
    stack.start(name)


def kill_worker_but_not_its_horse(stack: FaultStack, rng: Random) -> None:
    found = busy(stack, rng)
    name = found[0] if found else rng.choice(WORKERS)
    stack.kill(name)
    stack.start(name)


def stop_worker(stack: FaultStack, rng: Random) -> None:
    name = rng.choice(WORKERS)
    stack.terminate(name)
    stack.start(name)


def freeze_horse(stack: FaultStack, rng: Random) -> None:
    """Its worker is frozen with it, as on a machine that is suspended; both go on when nobody expects it."""
    if (found := busy(stack, rng)) is None:
        return
    frozen = stack.whole(found[0])
    for process in frozen:
        freeze(process)
    time.sleep(FROZEN_S)
    for process in frozen:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def begin_upload(stack: FaultStack, rng: Random) -> socket.socket:
    """A connection over which the first part of a scan went."""
    head = ["POST /v1/jobs HTTP/1.1", "Host: x", "Content-Type: multipart/form-data; boundary=b"]
    head += ["Content-Length: 9000000", "", "--b", 'Content-Disposition: form-data; name="file"; filename="a"']
    host, port = stack.url.removeprefix("http://").split(":")
    sender = socket.create_connection((host, int(port)), timeout=5)
    sender.sendall("\r\n".join([*head, "", ""]).encode() + bytes(rng.randrange(1_000_000, 4_000_000)))
    return sender


def kill_api_in_the_middle_of_an_upload(stack: FaultStack, rng: Random) -> None:
    with begin_upload(stack, rng):
        time.sleep(0.3 * rng.random())
        stack.kill("api")
    stack.start("api")


def leave_in_the_middle_of_an_upload(stack: FaultStack, rng: Random) -> None:
    begin_upload(stack, rng).close()


def kill_redis(stack: FaultStack, rng: Random) -> None:
    stack.kill("redis")
    time.sleep(2 * rng.random())
    stack.start("redis")


def kill_redis_and_lose_its_data(stack: FaultStack, rng: Random) -> None:
    stack.kill("redis")
    stack.lose_redis_data()
    time.sleep(2 * rng.random())
    stack.start("redis")


def wipe_redis(stack: FaultStack, _rng: Random) -> None:
    with stack.redis() as connection:
        connection.flushall()


def serving_away(stack: FaultStack, rng: Random) -> None:
    stack.serving_goes(away_s=1 + 2 * rng.random())


def serving_slow(stack: FaultStack, rng: Random) -> None:
    stack.serving.pause_s = 0.5 + rng.random()
    time.sleep(3)
    stack.serving.pause_s = 0


def serving_answers_nan(stack: FaultStack, _rng: Random) -> None:
    def spoil(answer: wire.PredictResponse) -> None:
        tensor = answer.outputs["probability"]
        tensor.tensor_content = np.full(len(tensor.tensor_content) // 4, np.nan, "<f4").tobytes()

    stack.spoil(spoil, 1.5)


def serving_answers_another_shape(stack: FaultStack, _rng: Random) -> None:
    def spoil(answer: wire.PredictResponse) -> None:
        answer.outputs["probability"].tensor_shape.dim[1].size = 128

    stack.spoil(spoil, 1.5)


def serving_answers_for_another_version(stack: FaultStack, _rng: Random) -> None:
    def spoil(answer: wire.PredictResponse) -> None:
        answer.model_spec.version.value += 1

    stack.spoil(spoil, 1.5)


FAULTS: Mapping[str, Fault] = {
    one.__name__.replace("_", " "): one
    for one in (
        kill_horse,
        kill_worker_whole,
        kill_worker_but_not_its_horse,
        stop_worker,
        freeze_horse,
        kill_api_in_the_middle_of_an_upload,
        leave_in_the_middle_of_an_upload,
        kill_redis,
        kill_redis_and_lose_its_data,
        wipe_redis,
        serving_away,
        serving_slow,
        serving_answers_nan,
        serving_answers_another_shape,
        serving_answers_for_another_version,
    )
}


class Injector:
    """Does every fault, in an order that the seed decides, again and again until told to stop."""

    def __init__(self, stack: FaultStack, seed: int, *, pause_s: float) -> None:
        self._stack, self._rng, self._pause_s = stack, Random(seed), pause_s
        self.done: list[str] = []

    def round(self, go_on: Callable[[], bool]) -> None:
        """Do each fault once, as long as `go_on` says so."""
        for name in self._rng.sample(sorted(FAULTS), len(FAULTS)):
            if not go_on():
                return
            FAULTS[name](self._stack, self._rng)
            self.done.append(name)
            time.sleep(self._pause_s * self._rng.random())
