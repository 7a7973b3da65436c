"""From the flags of the command to a running server."""

import argparse
import asyncio
import logging
import sys
from functools import partial

import tensorflow as tf

from metseg_serving.config import (
    BatchingRules,
    channel_arguments,
    read_batching,
    read_monitoring,
    source_finder,
)
from metseg_serving.models.labels import VersionLabels
from metseg_serving.models.library import LoadRules, ServedModels
from metseg_serving.models.servable import Servable
from metseg_serving.ports import Ports
from metseg_serving.refusal import Refusal
from metseg_serving.rules import ServerRules
from metseg_serving.server import serve
from metseg_serving.settings import ConfigError


def run(options: argparse.Namespace, ports: Ports) -> int:
    """Serve as the flags say; returns the exit status."""
    tf.get_logger().setLevel(logging.ERROR)
    try:
        models = ServedModels(
            source_finder(options.model_config_file, options.models),
            LoadRules(
                partial(
                    Servable.load,
                    intra_op_threads=options.tensorflow_intra_op_parallelism,
                    inter_op_threads=options.tensorflow_inter_op_parallelism,
                    warms_up=options.enable_model_warmup,
                ),
                retries=options.max_num_load_retries,
                retry_s=max(options.load_retry_interval_micros, 0) / 1e6,
                threads=options.num_load_threads,
            ),
            _batching(options),
            VersionLabels(allow_unavailable=options.allow_version_labels_for_unavailable_models),
        )
        asyncio.run(serve(models, ports, _rules(options)))
    except ConfigError as exc:
        sys.stderr.write(f"metseg-serving: {exc}\n")
        return 2
    except Refusal as exc:
        sys.stderr.write(f"metseg-serving: {options.models}: {exc}\n")
        return 1
    return 0


def _batching(options: argparse.Namespace) -> BatchingRules | None:
    file = options.batching_parameters_file
    if options.enable_batching:
        return read_batching(file) if file else BatchingRules()
    if file:
        raise ConfigError("batching_parameters_file is set without setting enable_batching to true")
    return None


def _rules(options: argparse.Namespace) -> ServerRules:
    monitoring_file = options.monitoring_config_file
    return ServerRules(
        models=options.models,
        as_content=options.enable_serialization_as_tensor_content,
        channel_arguments=channel_arguments(options.grpc_channel_arguments),
        poll_s=options.file_system_poll_wait_seconds,
        config_file=options.model_config_file,
        config_poll_s=options.model_config_file_poll_wait_seconds,
        metrics_path=read_monitoring(monitoring_file) if monitoring_file else None,
        health_check=options.enable_grpc_healthcheck_service,
    )
