"""metseg-serving as a process of its own, and models small enough to make in a test."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

READY_WITHIN_S = 240.0


def free_port() -> int:
    """A port that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def save_model(folder: Path, *, scale: float = 1.0, warmup_shape: Sequence[int] = (), channels: int = 3) -> Path:
    """Save a model that metseg could use: the mean of the three channels, scaled to 0 to `scale`.

    The folder appears under its name at once, as the trainer's export makes it appear.

    Args:
        folder: `<models>/<name>/<version>`.
        scale: The probability of a white pixel, which tells versions apart.
        warmup_shape: Adds one warm-up request of this shape.
        channels: Of a slice; with another number than 3 it is a model that metseg cannot use.
    """
    import tensorflow as tf

    class Mean(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = tf.Variable(scale, dtype=tf.float32)

        @tf.function(input_signature=[tf.TensorSpec((None, 256, 256, channels), tf.uint8, name="slices")])
        def predict(self, slices):
            mean = tf.reduce_sum(tf.cast(slices, tf.float32), -1, keepdims=True) / (channels * 255)
            return {"probability": mean * self.scale}

    module = Mean()
    hidden = folder.parent / f".{folder.name}.tmp"
    tf.saved_model.save(module, str(hidden), signatures={"serving_default": module.predict})
    if warmup_shape:
        _write_warmup(hidden / "assets.extra", warmup_shape)
    hidden.rename(folder)
    return folder


def _write_warmup(folder: Path, shape: Sequence[int]) -> None:
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    log = PredictionLog()
    log.predict_log.request.inputs["slices"].CopyFrom(tf.make_tensor_proto(np.zeros(shape, np.uint8)))
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())


class Standin:
    """A running metseg-serving.

    Args:
        models: Folder of the models.
        log_file: Where its output goes.
        flags: Further flags.
    """

    def __init__(self, models: Path, log_file: Path, *flags: str) -> None:
        self.port, self.rest_port = free_port(), free_port()
        self.log_file = log_file
        command = [sys.executable, "-m", "metseg_serving", "--models", str(models)]
        ports = ["--port", str(self.port), "--rest_api_port", str(self.rest_port)]
        with log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *ports, *flags],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_until_ready(self) -> Self:
        """Return once the REST port is open, which is after the models are loaded."""
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"metseg-serving ended with {self.process.returncode}:\n{self.log}")
            try:
                socket.create_connection(("127.0.0.1", self.rest_port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return self
        raise AssertionError(f"metseg-serving was not ready in time:\n{self.log}")

    def rest(self, path: str, body: object = None) -> tuple[int, dict]:
        """Status and JSON of a GET, or of a POST where there is a body."""
        return rest(f"http://127.0.0.1:{self.rest_port}", path, body)

    def states(self, model: str) -> dict[int, str]:
        """State of each version, as the REST port tells it."""
        answer = self.rest(f"/v1/models/{model}")[1]
        return {int(entry["version"]): entry["state"] for entry in answer["model_version_status"]}

    def stop(self) -> int:
        """End it by SIGTERM; returns its exit status."""
        self.process.terminate()
        return self.process.wait(120)


def rest(base_url: str, path: str, body: object = None) -> tuple[int, dict]:
    """Status and JSON of a GET, or of a POST where there is a body (bytes are sent as they are)."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with build_opener(ProxyHandler({})).open(Request(base_url + path, data), timeout=60) as reply:
            return reply.status, json.load(reply)
    except HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


def fetch(url: str) -> tuple[int, str]:
    """Status and text of a GET."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=60) as reply:
            return reply.status, reply.read().decode()
    except HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def wait_for(condition, within_s: float = 30.0) -> None:
    """Return once `condition()` holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come true within {within_s:g} s")
        time.sleep(0.05)
