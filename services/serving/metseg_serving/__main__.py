"""The command `metseg-serving`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from metseg.errors import SettingsError
from metseg_serving.ports import Ports
from metseg_serving.settings import ConfigError, ServingSettings

DESCRIPTION = """\
Serve the models in a folder over gRPC and REST as TensorFlow Serving does, on a host without containers.
Flags that TensorFlow Serving has too are spelt as it spells them. A new version folder is noticed, loaded and
warmed up before the old version is unloaded."""

SWITCHES = {
    "enable_serialization_as_tensor_content": "answer arrays as bytes, not value after value",
    "allow_version_labels_for_unavailable_models": "let a new label come before its version, as at the start",
    "enable_grpc_healthcheck_service": "answer the standard health check of gRPC",
    "enable_batching": "merge requests that wait at the same moment, and refuse those that are too large",
    "enable_model_warmup": "replay the requests that lie with a version before it answers (default true)",
}
ON = {"enable_model_warmup"}
"""Switches that are on unless they are turned off."""
UNUSED_THREADS = ("rest_api_num_threads", "grpc_max_threads")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM: 0 after an orderly stop, 1 when a model has no good version, 2 for wrong settings."""
    try:
        options = build_parser(ServingSettings.from_env()).parse_args(arguments)
        ports = Ports(options.host, options.port, options.rest_api_port)
        ports.check()
    except (SettingsError, ConfigError) as exc:
        sys.stderr.write(f"metseg-serving: {exc}\n")
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    from metseg_serving.launch import run  # only now: loading TensorFlow takes seconds

    return run(options, ports)


def build_parser(settings: ServingSettings) -> argparse.ArgumentParser:
    """The command line; what the environment sets is the default."""
    parser = argparse.ArgumentParser(
        prog="metseg-serving", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    where = parser.add_argument_group("where")
    where.add_argument(
        "--models",
        type=Path,
        default=settings.models,
        metavar="DIR",
        help="folder of <name>/<version>/ (METSEG_MODELS, now %(default)s)",
    )
    where.add_argument("--host", default=settings.host, help="address to listen on (METSEG_HOST, now %(default)s)")
    where.add_argument(
        "--port", type=int, default=settings.serving_port, help="gRPC port (METSEG_SERVING_PORT, now %(default)s)"
    )
    where.add_argument(
        "--rest_api_port",
        "--rest-port",
        type=int,
        default=settings.serving_rest_port,
        help="REST port, 0 for none (METSEG_SERVING_REST_PORT, now %(default)s)",
    )
    what = parser.add_argument_group("what")
    what.add_argument(
        "--model_config_file",
        "--config",
        type=Path,
        metavar="FILE",
        help="ModelServerConfig; base paths under /models are looked up in DIR "
        "(without it: every model in DIR, newest version)",
    )
    what.add_argument(
        "--model_config_file_poll_wait_seconds",
        type=float,
        default=0.0,
        metavar="S",
        help="pause between looks for a change of that file, default 0: none",
    )
    what.add_argument(
        "--batching_parameters_file", "--batching", type=Path, metavar="FILE", help="BatchingParameters"
    )
    what.add_argument(
        "--monitoring_config_file", type=Path, metavar="FILE", help="MonitoringConfig, for a page for Prometheus"
    )
    how = parser.add_argument_group("how")
    for flag, told in SWITCHES.items():
        how.add_argument(
            f"--{flag}", type=_flag, nargs="?", const=True, default=flag in ON, metavar="BOOL", help=told
        )
    how.add_argument(
        "--grpc_channel_arguments",
        default="",
        metavar="KEY=VALUE,…",
        help="for instance grpc.max_concurrent_streams=100",
    )
    how.add_argument(
        "--file_system_poll_wait_seconds",
        type=float,
        default=1.0,
        metavar="S",
        help="pause between looks for new versions, default %(default)s",
    )
    how.add_argument(
        "--num_load_threads",
        type=int,
        default=0,
        metavar="N",
        help="versions that load at the same time while the server runs; with 0, the default, a load that is "
        "retried holds every other change up",
    )
    how.add_argument(
        "--max_num_load_retries",
        type=int,
        default=5,
        metavar="N",
        help="further attempts to load a broken version, default %(default)s",
    )
    how.add_argument(
        "--load_retry_interval_micros",
        type=int,
        default=60_000_000,
        metavar="MICROS",
        help="pause before each of them, default %(default)s",
    )
    for kind in ("intra", "inter"):
        how.add_argument(
            f"--tensorflow_{kind}_op_parallelism",
            type=int,
            default=0,
            metavar="N",
            help="threads, default one a core",
        )
    for flag in UNUSED_THREADS:
        how.add_argument(
            f"--{flag}", type=int, metavar="N", help="taken and not used: metseg-serving has no such threads"
        )
    return parser


def _flag(text: str) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"{text} is neither true nor false")
    return words[text.lower()]


if __name__ == "__main__":
    sys.exit(main())
