"""The `metseg` command: send a scan and take its results away, list jobs and models."""

import argparse
import sys
from collections.abc import Sequence
from enum import IntEnum
from importlib.metadata import version
from pathlib import Path

from metseg.errors import SettingsError
from metseg.schemas.job import RESEARCH_USE_ONLY, Job, JobState, Priority
from metseg_client.client import MetsegClient
from metseg_client.errors import ApiError, ApiUnreachableError, ClientError, WaitTimeoutError
from metseg_client.session import SegmentSession, scan_files
from metseg_client.settings import ClientSettings
from metseg_client.upload import Choices
from metseg_client.wire import Patience

TRY_LATER = (429, 502, 503)


class Exit(IntEnum):
    """What the command's end says; 2 is a wrong command line."""

    DONE = 0
    JOB_FAILED = 1
    REFUSED = 3
    TRY_LATER = 4
    STILL_RUNNING = 5
    INTERRUPTED = 130


EXIT_CODES = """\
exit codes:
  0    the results are in the folder, or the list was printed
  1    the job failed or was cancelled
  2    the command line is wrong
  3    the API refused, or a file cannot be read or written
  4    the API does not answer or has no room now; try again later
  5    the job had not ended after --timeout-s; the same command goes on with it
  130  interrupted; the job goes on, and the same command takes it up again
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `Exit` for what it answers."""
    given = _read(arguments)
    try:
        settings = ClientSettings.from_env()
        patience = Patience(given.patience_s, _say_pause)
        with MetsegClient(given.api or settings.api, api_key=settings.key(), patience=patience) as client:
            return int(given.run(client, given))
    except WaitTimeoutError as exc:
        return _end(Exit.STILL_RUNNING, f"{exc}; the same command goes on with it")
    except ApiUnreachableError as exc:
        return _end(Exit.TRY_LATER, str(exc))
    except ApiError as exc:
        later = f" (again in {exc.retry_after_s:.0f} s)" if exc.retry_after_s else ""
        return _end(Exit.TRY_LATER if exc.status in TRY_LATER else Exit.REFUSED, f"{exc.code}: {exc}{later}")
    except (ClientError, SettingsError) as exc:
        return _end(Exit.REFUSED, str(exc))
    except OSError as exc:
        return _end(Exit.REFUSED, f"cannot read the scan or write the results ({exc.strerror})")
    except KeyboardInterrupt:
        return _end(Exit.INTERRUPTED, "interrupted; the job goes on, and the same command takes it up again")


def _read(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="metseg",
        description=f"Speak to the metseg job API. {RESEARCH_USE_ONLY}",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('metseg-client')}")
    parser.add_argument("--api", help="address of the API (default: METSEG_API_URL, or this machine)")
    parser.add_argument(
        "--patience-s",
        type=float,
        default=300,
        help="longest wait for an API that has no room now and says when to come back (default: %(default)g)",
    )
    commands = parser.add_subparsers(required=True, metavar="{segment,jobs,models}")
    _add_segment(
        commands.add_parser(
            "segment",
            help="send a scan, wait, and take the results away",
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    jobs = commands.add_parser("jobs", help="list the newest jobs")
    jobs.add_argument("--limit", type=int, default=20, help="how many (default: %(default)d)")
    jobs.set_defaults(run=_jobs)
    commands.add_parser("models", help="list the models").set_defaults(run=_models)
    return parser.parse_args(arguments)


def _add_segment(segment: argparse.ArgumentParser) -> None:
    segment.add_argument(
        "scan",
        type=Path,
        nargs="+",
        help="a NIfTI, a slice as PNG, JPEG or TIFF, a zip of DICOM, or the files or folders of a DICOM series",
    )
    segment.add_argument("--out", type=Path, required=True, help="folder for the results")
    segment.add_argument("--model", help="see `metseg models`; `ensemble` is the mean of all")
    segment.add_argument("--threshold", type=float, help="probability from which a voxel is lesion")
    segment.add_argument("--spacing-mm", type=_spacing, help="pixel size of a picture: 0.9 or 0.9,1.1")
    segment.add_argument("--series-uid", help="which series, where DICOM files hold several")
    segment.add_argument(
        "--priority", choices=[lane.value for lane in Priority], help="urgent goes before all that is routine"
    )
    segment.add_argument("--webhook-url", help="https address that is told when the job has ended")
    earlier = segment.add_mutually_exclusive_group()
    earlier.add_argument(
        "--previous",
        nargs="+",
        default=(),
        metavar="JOB",
        help="ids of earlier jobs of the same patient to compare with, the baseline first",
    )
    earlier.add_argument(
        "--previous-scan",
        nargs="+",
        type=Path,
        default=(),
        metavar="FILE",
        help="an earlier scan of the same patient to compare with, as files or folders like the scan",
    )
    segment.add_argument("--previous-series-uid", help="which series, where the earlier scan holds several")
    segment.add_argument("--label", help="what you call the scan; shown with the job")
    segment.add_argument("--timeout-s", type=float, default=3600, help="longest wait (default: %(default)g)")
    segment.set_defaults(run=_segment)


def _segment(client: MetsegClient, given: argparse.Namespace) -> Exit:
    choices = Choices(**{name: getattr(given, name) for name in Choices.model_fields})
    previous_scan = scan_files(given.previous_scan) if given.previous_scan else ()
    session = SegmentSession(client, scan_files(given.scan), given.out, previous_scan=previous_scan)
    job = session.run(choices, _say_progress, given.timeout_s)
    if job.state is not JobState.SUCCEEDED:
        told = f"{job.error.code}: {job.error.message}" if job.error else "without a reason"
        return _end(Exit.JOB_FAILED, f"job {job.id} ended {job.state.value} ({told})")
    lesions = client.report(job.id).lesion_count
    sys.stdout.write(
        f"{lesions} lesion{'' if lesions == 1 else 's'}; results in {given.out}. {RESEARCH_USE_ONLY}\n"
    )
    return Exit.DONE


def _jobs(client: MetsegClient, given: argparse.Namespace) -> Exit:
    for job in client.jobs(limit=given.limit).items:
        code = job.error.code if job.error else ""
        sys.stdout.write(
            f"{job.id}  {job.created_at:%Y-%m-%d %H:%M}  {job.state.value:9}  {job.model.name}  {code}\n"
        )
    return Exit.DONE


def _models(client: MetsegClient, _given: argparse.Namespace) -> Exit:
    for model in client.models():
        state = "ready" if model.served else "not loaded"
        default = ", default" if model.default else ""
        members = ", ".join(f"{one.name} {one.version}" for one in model.members)
        told = f", mean of {members}" if members else default
        sys.stdout.write(f"{model.card.name} version {model.card.version}: {state}{told}\n")
    return Exit.DONE


def _say_pause(error: ApiError) -> None:
    sys.stderr.write(f"metseg: {error.code}: {error}; again in {error.retry_after_s:.0f} s\n")


def _say_progress(job: Job) -> None:
    parts = [f"{job.id} {job.state.value}"]
    if job.queue_position is not None:
        parts.append(f"place {job.queue_position} in the line")
    if job.progress is not None:
        earlier = "earlier scan: " if job.progress.scan < job.progress.scans else ""
        parts.append(f"{earlier}{job.progress.stage.value} {job.progress.fraction:.0%}")
    if job.waits_for is not None:
        parts.append(f"waiting for the {job.waits_for.value.replace('_', ' ')}")
    if job.seconds_left is not None:
        parts.append(f"about {job.seconds_left:.0f} s left")
    sys.stderr.write(", ".join(parts) + "\n")


def _spacing(text: str) -> tuple[float, float]:
    values = [float(part) for part in text.split(",")]
    if len(values) > 2:
        raise ValueError("expected one distance or two")
    return values[0], values[-1]


def _end(code: Exit, message: str) -> Exit:
    sys.stderr.write(f"metseg: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
