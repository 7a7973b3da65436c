"""Faults of processes: killed, stopped, frozen."""

import time
from contextlib import suppress
from random import Random

import psutil
from fault_stack import FaultStack, freeze

FROZEN_S = 25.0
"""Longer than it takes to be given up."""


def busy(stack: FaultStack, rng: Random, within_s: float = 5) -> tuple[str, psutil.Process] | None:
    """A worker with its work-horse, at a random moment of its job; None if all are idle for some seconds."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        for name in rng.sample(stack.workers, len(stack.workers)):
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
    name = found[0] if found else rng.choice(stack.workers)
    stack.kill(name, *stack.members(name))
    stack.start(name)


def kill_worker_but_not_its_horse(stack: FaultStack, rng: Random) -> None:
    found = busy(stack, rng)
    name = found[0] if found else rng.choice(stack.workers)
    stack.kill(name)
    stack.start(name)


def stop_worker(stack: FaultStack, rng: Random) -> None:
    name = rng.choice(stack.workers)
    stack.terminate(name)
    stack.start(name)


def freeze_worker(stack: FaultStack, rng: Random) -> None:
    """With its horse, as on a machine that is suspended; both go on when nobody expects it, amid other faults."""
    if (found := busy(stack, rng)) is None:
        return
    frozen = stack.whole(found[0])
    for process in frozen:
        freeze(process)

    def thaw() -> None:
        for process in frozen:
            with suppress(psutil.NoSuchProcess):
                process.resume()

    stack.later(FROZEN_S, thaw)


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
