"""The faults: what is done to a running stack, one after another."""

import time
from collections.abc import Callable, Mapping
from random import Random

import fault_machine
import fault_processes
import fault_serving
import fault_transfers
from fault_stack import FaultStack

Fault = Callable[[FaultStack, Random], object]

FAULTS: Mapping[str, Fault] = {
    one.__name__.replace("_", " "): one
    for one in (
        fault_processes.kill_horse,
        fault_processes.kill_worker_whole,
        fault_processes.kill_worker_but_not_its_horse,
        fault_processes.stop_worker,
        fault_processes.freeze_worker,
        fault_processes.kill_redis,
        fault_processes.kill_redis_and_lose_its_data,
        fault_processes.wipe_redis,
        fault_transfers.kill_api_in_the_middle_of_an_upload,
        fault_transfers.kill_api_in_the_middle_of_a_download,
        fault_transfers.leave_in_the_middle_of_an_upload,
        fault_transfers.fill_disk_in_the_middle_of_an_upload,
        fault_machine.fill_disk,
        fault_machine.fill_disk_but_for_a_little,
        fault_machine.put_clocks_forward,
        fault_machine.put_clocks_back,
        fault_serving.serving_away,
        fault_serving.serving_away_for_minutes,
        fault_serving.serving_without_memory,
        fault_serving.serving_slow,
        fault_serving.serving_reloads,
        fault_serving.serving_answers_nan,
        fault_serving.serving_answers_another_shape,
        fault_serving.serving_answers_for_another_version,
    )
}


def missing(stack: FaultStack) -> dict[str, str]:
    """The faults that this machine cannot have, each with the reason."""
    reasons = {}
    if not stack.disk.can_be_full:
        reasons["fill disk"] = "this user may mount no file system"
    if not stack.clocks.can_jump:
        reasons["put clocks"] = "there is no C compiler"
    return {name: reason for name in FAULTS for begin, reason in reasons.items() if name.startswith(begin)}


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
