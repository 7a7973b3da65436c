"""Try everything that a host with a GPU has to show, one step after the other, and write one report of it."""

import os
import platform
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, JsonValue

from deploy.gpu_check.host import CheckFailedError, Host
from deploy.gpu_check.steps import STEPS, Bench, Step
from deploy.local.settings import ROOT
from metseg_client.errors import ClientError

REPORT: Final = ROOT / "gpu-report.json"
ESSENTIAL: Final = ("preflight", "start")
"""Steps without which no other makes sense."""


class StepReport(BaseModel):
    """How one step ended."""

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    seconds: float = 0
    told: dict[str, JsonValue] = {}
    failure: str = ""


class GpuReport(BaseModel):
    """`gpu-report.json`: the host's card, engine and timings, with no image but the shipped synthetic one."""

    schema_version: Literal[1] = 1
    made_at: AwareDatetime
    kernel: str
    engine: str
    steps: list[StepReport]


def run_steps(bench: Bench, steps: Sequence[Step] = STEPS) -> list[StepReport]:
    """Take the steps in their order; what fails stops no other, unless nothing can go on without it."""
    reports: list[StepReport] = []
    for step in steps:
        name = step.__name__
        if any(report.outcome == "failed" and report.name in ESSENTIAL for report in reports):
            reports.append(StepReport(name=name, outcome="skipped"))
            continue
        sys.stdout.write(f"{name.replace('_', ' ')} … ")
        sys.stdout.flush()
        reports.append(_take(step, bench))
        sys.stdout.write(f"{reports[-1].outcome} ({reports[-1].seconds:.0f} s)\n{reports[-1].failure}")
    return reports


def main() -> int:
    """Write the report; 0 where every step passed, else 1."""
    environ = dict(os.environ)
    host = Host(ROOT, environ, environ.get("SERVING_GPU", "0"))
    api_url = f"http://127.0.0.1:{environ.get('METSEG_API_PORT', '8000')}"
    steps = run_steps(Bench(host, api_url, ROOT / "samples" / "phantom_demo.nii.gz"))
    report = GpuReport(made_at=datetime.now(UTC), kernel=platform.release(), engine=_engine(host), steps=steps)
    REPORT.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"Written to {REPORT.name}; it holds no patient data: please send it back.\n")
    return 0 if all(step.outcome == "passed" for step in steps) else 1


def _take(step: Step, bench: Bench) -> StepReport:
    began = time.monotonic()
    try:
        told, failure = step(bench), ""
    except (CheckFailedError, ClientError) as exc:
        told, failure = {}, f"{exc}\n"
    seconds = round(time.monotonic() - began, 1)
    outcome: Literal["passed", "failed"] = "failed" if failure else "passed"
    return StepReport(name=step.__name__, outcome=outcome, seconds=seconds, told=told, failure=failure)


def _engine(host: Host) -> str:
    try:
        return host.run("docker", "version", "--format", "{{.Server.Version}}", timeout_s=30).strip()
    except CheckFailedError:
        return "not known"


if __name__ == "__main__":
    sys.exit(main())
