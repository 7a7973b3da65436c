"""Start the stack, segment the sample scan through the public API, show what came out."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.local.lesion_table import comparison_table, lesion_table, read_drawn
from deploy.local.ports import PortError
from deploy.local.settings import ROOT, StackSettings, merged_environment
from deploy.local.stack import StackError, StackRecord, log_tail, start, stop
from metseg.errors import SettingsError
from metseg.schemas.job import Job, JobState
from metseg.schemas.report import Lesion
from metseg_client import ClientError, MetsegClient

SAMPLE = ROOT / "samples" / "phantom_demo.nii.gz"
OUTPUT = ROOT / "demo-output"
TAKEN_AWAY = ("overlay.png", "mask.nii.gz", "lesions.csv", "report.json")


class DemoError(RuntimeError):
    """The sample scan was not segmented; the message says why."""


def segment_sample(client: MetsegClient, sample: Path, output: Path) -> str:
    """Run one scan through the API and describe what was found.

    Args:
        client: Speaks to the running stack.
        sample: The scan to send.
        output: Folder for the artefacts that are taken away; made where missing.

    Raises:
        DemoError: The job did not succeed.
    """
    job = client.submit(sample)
    _say(f"Job {job.id} accepted, model {job.model.name} version {job.model.version}.")
    job = client.wait(job.id, on_progress=_say_progress)
    if job.state is not JobState.SUCCEEDED:
        reason = f"{job.error.code}: {job.error.message}" if job.error else "no reason given"
        raise DemoError(f"The job ended {job.state.value} ({reason}).")
    report = client.report(job.id)
    output.mkdir(parents=True, exist_ok=True)
    for name in TAKEN_AWAY:
        client.download(job.id, name, output / name)
    return f"\n{report.research_use}\n\n{_describe(report.lesions, sample)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when the sample scan was segmented."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop after the job")
    once = parser.parse_args(arguments).once
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        settings = StackSettings.read()
        _say("Starting Redis, model server, worker, API and UI …")
        record = start(settings, merged_environment())
    except (StackError, PortError, SettingsError) as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    try:
        _run(record, settings.key())
        if not once:
            _stay_open(record, settings)
    except (ClientError, DemoError, SettingsError, StackError) as exc:
        sys.stderr.write(f"{exc}\n{log_tail(settings.log_file)}\n")
        return 1
    except KeyboardInterrupt:
        _say("\nStopping.")
    finally:
        stop(settings)
    return 0


def _run(record: StackRecord, api_key: str | None) -> None:
    with MetsegClient(record.api_url, api_key=api_key) as client:
        _say(segment_sample(client, SAMPLE, OUTPUT))
    _say(f"\nOverlay picture: {OUTPUT / 'overlay.png'}")


def _describe(lesions: Sequence[Lesion], sample: Path) -> str:
    truth = sample.with_name(sample.name.partition(".")[0] + "_truth.json")
    if not truth.is_file():
        return f"Lesions of {sample.name}:\n{lesion_table(lesions)}"
    return (
        f"Lesions found in {sample.name}, and to the right those drawn into it:\n"
        f"{comparison_table(lesions, read_drawn(truth))}"
    )


def _stay_open(record: StackRecord, settings: StackSettings) -> None:
    _say(f"The page is open at {record.page_url} and the API at {record.api_url}. Ctrl-C stops everything.")
    while record.is_running():
        time.sleep(1)
    raise StackError(f"The stack ended by itself; its log is {settings.log_file}.")


def _say_progress(job: Job) -> None:
    if job.progress is not None:
        done, total = job.progress.slices_done, job.progress.slices_total
        slices = f" {done}/{total} slices" if total else ""
        waits = f", waiting for the {job.waits_for.value.replace('_', ' ')}" if job.waits_for else ""
        _say(f"  {job.state.value}: {job.progress.stage.value}{slices}{waits}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
