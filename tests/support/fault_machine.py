"""Faults of machines: a full disk, a clock that jumps."""

import time
from random import Random

from fault_processes import busy
from fault_stack import FaultStack

HOUR_S = 3600


def fill_disk(stack: FaultStack, rng: Random) -> None:
    """Nothing can be written any more, no end of an attempt either."""
    _fill(stack, rng, leave_bytes=0)


def fill_disk_but_for_a_little(stack: FaultStack, rng: Random) -> None:
    """Leases and ends may find room, artefacts do not."""
    _fill(stack, rng, leave_bytes=rng.randrange(8_000, 40_000))


def _fill(stack: FaultStack, rng: Random, leave_bytes: int) -> None:
    busy(stack, rng)
    stack.disk.fill(leave_bytes=leave_bytes)
    time.sleep(1 + 2 * rng.random())
    stack.disk.free()


def put_clocks_forward(stack: FaultStack, rng: Random) -> None:
    _put_clocks(stack, rng, rng.randint(1, 6) * HOUR_S)


def put_clocks_back(stack: FaultStack, rng: Random) -> None:
    _put_clocks(stack, rng, -rng.randint(1, 6) * HOUR_S)


def _put_clocks(stack: FaultStack, rng: Random, ahead_s: int) -> None:
    """Some machines' clocks jump, and jump back when somebody has noticed."""
    names = ["redis", "api", *stack.workers]
    jumping = rng.sample(names, rng.randint(1, len(names)))
    for name in jumping:
        stack.clocks.put(name, ahead_s)
    time.sleep(2 + 2 * rng.random())
    for name in jumping:
        stack.clocks.put(name, 0)
