"""The promise, under fire: accepted means done once, whatever dies.

`make test-faults COUNT=1000 SEED=7` runs the long form; without the two the short one runs, as in CI.
"""

import os
import sys
import time
from pathlib import Path

import psutil
import pytest
from fault_audit import audit
from fault_kinds import FAULTS, Injector, missing
from fault_load import Load
from fault_stack import FaultStack
from workplace import wait_for

COUNT = int(os.environ.get("FAULT_COUNT") or 20)
SEED = int(os.environ.get("FAULT_SEED") or 1)
WORKERS = 2 if COUNT < 300 else 4
LONG_AWAY_S = 12.0 if COUNT < 300 else 120.0
"""How long the model server is away the first time that it is away for minutes."""
JOBS_A_FAULT = 2.5
"""After the first round of all faults the next one comes once so many jobs more were sent: most are to get on."""
ENDED_WITHIN_S = 600.0
SETTLED_WITHIN_S = 240.0
"""On a busy machine a horse takes longer to start than a job may be unheld; each job then waits twice."""
AWAY = ("serving_unavailable", "serving_timeout", "serving_exhausted", "serving_internal", "model_unknown")
"""What no job fails of: the model server comes back each time."""
LEAST_FAULTS_A_JOB = 0.3
"""300 in the long form of 1,000 jobs."""

pytestmark = [pytest.mark.slow, pytest.mark.stack, pytest.mark.timeout(300 + 30 * COUNT)]


def test_every_accepted_job_ends_once_whatever_dies(tmp_path: Path) -> None:
    began = time.monotonic()
    with FaultStack(tmp_path, workers=WORKERS, jobs=COUNT, long_away_s=LONG_AWAY_S) as stack:
        load = Load(stack.url, count=COUNT, seed=SEED, workers=WORKERS)
        injector = Injector(stack, SEED, pause_s=1)
        load.start()
        try:
            injector.round(lambda: True)
            sent = len(load.seen)
            while load.is_sending:
                tell_so_far(load, injector, time.monotonic() - began)
                injector.round(lambda: another_is_due(load, injector, since=sent))
            stack.join_timers()
            wait_for(lambda: not load.open_jobs, timeout_s=ENDED_WITHIN_S)
        finally:
            load.stop()
        wait_for(lambda: settled(stack), timeout_s=SETTLED_WITHIN_S)
        orphans = stack.strangers()
        psutil.wait_procs(orphans, timeout=30)
        found = audit(stack.store, set(load.seen) | stack.own_jobs)
        litter = list(stack.scratch.iterdir())
    backwards = [job_id for job_id, seen in load.seen.items() if seen.moved_backwards()]
    tell(found, load, injector, time.monotonic() - began)
    for name, reason in missing(stack).items():
        sys.stdout.write(f"not on this machine: {name} ({reason})\n")
    assert found.wrong == []
    assert backwards == []
    assert sum(found.ends.values()) == COUNT + len(stack.own_jobs)
    assert [end for end in found.ends if any(code in end for code in AWAY)] == []
    assert set(injector.done) == set(FAULTS)
    assert len(injector.done) >= LEAST_FAULTS_A_JOB * COUNT
    assert litter == []


def another_is_due(load: Load, injector: Injector, *, since: int) -> bool:
    """Wait until enough jobs were sent since the first round for one more fault; False if no more are sent."""
    while load.is_sending and len(load.seen) - since < JOBS_A_FAULT * (len(injector.done) - len(FAULTS) + 1):
        time.sleep(0.1)
    return load.is_sending


def settled(stack: FaultStack) -> bool:
    """Whether the reconciler has put every job away, of all that it could find in the store."""
    with stack.redis() as redis:
        known = {name.decode() for name in redis.zrange("metseg:due", 0, -1)}
        return not redis.scard("metseg:watched") and known >= {
            one.name for one in (stack.store / "jobs").iterdir()
        }


def tell_so_far(load: Load, injector: Injector, seconds: float) -> None:
    """Print how far it is; the long form takes its time."""
    sys.stdout.write(f"{len(load.seen)} jobs accepted, {len(injector.done)} faults, in {seconds:.0f} s\n")
    sys.stdout.flush()


def tell(found: object, load: Load, injector: Injector, seconds: float) -> None:
    """Print the figures."""
    lines = [f"{found.accepted} jobs accepted, {sum(found.ends.values())} ended, in {seconds:.0f} s, seed {SEED}"]
    lines += [f"  {number:5d} {end}" for end, number in found.ends.most_common()]
    lines += [f"{found.attempts} attempts, {found.lost_attempts} of them lost their worker"]
    lines += [f"  {number:5d} {what}" for what, number in load.tally.most_common()]
    lines += [f"{len(injector.done)} faults"]
    lines += [f"  {injector.done.count(name):5d} {name}" for name in FAULTS]
    sys.stdout.write("\n".join(["", *lines, ""]))
