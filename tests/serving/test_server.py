"""metseg-serving as a process: versions change under load, broken ones do no harm, it starts and stops cleanly."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from standin import Standin, free_port, save_model, wait_for
from tensorflow_serving.apis import prediction_service_pb2_grpc
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from metseg.errors import UnknownModelError
from metseg.serving.client import ServingClient
from metseg_serving.__main__ import build_parser
from metseg_serving.launch import run
from metseg_serving.models.servable import Servable
from metseg_serving.ports import Ports
from metseg_serving.refusal import Refusal
from metseg_serving.settings import ServingSettings

pytestmark = pytest.mark.slow

FLAGS = [
    "--file_system_poll_wait_seconds=0.2",
    "--max_num_load_retries=1",
    "--load_retry_interval_micros=100000",
]
WHITE = np.full((1, 256, 256, 3), 255, np.uint8)


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standin]:
    folder = tmp_path_factory.mktemp("serving")
    save_model(folder / "models" / "swap" / "1", scale=0.1, warmup_shape=(1, 256, 256, 3))
    save_model(folder / "models" / "still" / "1", scale=0.5)
    batching = folder / "batching.config"
    batching.write_text(
        "max_batch_size { value: 16 } enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 5 }"
    )
    flags = [*FLAGS, "--enable_batching", f"--batching_parameters_file={batching}"]
    with Standin(folder / "models", folder / "log", *flags) as running:
        yield running.wait_until_ready()


@pytest.fixture
def models(standin: Standin) -> Path:
    return standin.log_file.parent / "models"


@pytest.fixture
def client(standin: Standin) -> Iterator[ServingClient]:
    with ServingClient(standin.target) as connected:
        yield connected


def newest(standin: Standin) -> float:
    """What the newest version of the model that is swapped makes of white."""
    request = PredictRequest()
    request.model_spec.name = "swap"
    request.inputs["slices"].CopyFrom(tf.make_tensor_proto(WHITE))
    with grpc.insecure_channel(standin.target) as channel:
        reply = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)
    return round(float(tf.make_ndarray(reply.outputs["probability"]).max()), 3)


def test_a_new_version_takes_over_under_load_without_a_failed_request(standin, models):
    seen: list[float] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen.append(newest(standin))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(seen) > 5)
        save_model(models / "swap" / "2", scale=0.2, warmup_shape=(1, 256, 256, 3))
        wait_for(lambda: standin.states("swap") == {1: "END", 2: "AVAILABLE"})
        wait_for(lambda: seen[-1] == 0.2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(seen) == {0.1, 0.2}
    assert newest(standin) == 0.2


@pytest.mark.parametrize("fault", ["no graph", "garbage", "warm-up"])
def test_a_broken_version_ends_with_its_error_while_the_old_one_serves(standin, models, fault):
    number = max(standin.states("swap")) + 1
    serving = newest(standin)
    if fault == "warm-up":
        save_model(models / "swap" / str(number), warmup_shape=(1, 7, 7, 3))
    else:
        (models / "swap" / str(number)).mkdir()
        if fault == "garbage":
            (models / "swap" / str(number) / "saved_model.pb").write_bytes(b"\x08\x01 this is no graph")
    wait_for(lambda: standin.states("swap").get(number) == "END")
    status = standin.rest(f"/v1/models/swap/versions/{number}")[1]["model_version_status"][0]["status"]
    assert status["error_code"] != "OK"
    assert status["error_message"]
    assert newest(standin) == serving


def test_a_version_is_warmed_up_unless_that_is_turned_off(tmp_path):
    folder = save_model(tmp_path / "net" / "1", warmup_shape=(1, 7, 7, 3))
    with pytest.raises(Refusal):
        Servable.load(folder)
    Servable.load(folder, warms_up=False).close()


def test_an_ended_version_is_refused_by_name(standin, models, client):
    number = max(standin.states("swap")) + 1
    save_model(models / "swap" / str(number), scale=0.3)
    wait_for(lambda: newest(standin) == 0.3)
    assert client.available_versions("swap") == [number]
    with pytest.raises(UnknownModelError, match="version 1 of model swap"):
        client.predict("swap", 1, WHITE)


def test_a_wrong_shape_is_refused_before_it_reaches_the_graph(client, standin):
    request = PredictRequest()
    request.model_spec.name = "still"
    with grpc.insecure_channel(standin.target) as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        for array in (np.uint8(1), WHITE[0], WHITE[..., :2], WHITE[:, :100]):
            request.inputs["slices"].CopyFrom(tf.make_tensor_proto(array))
            with pytest.raises(grpc.RpcError) as caught:
                predict(request, timeout=30)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert client.predict("still", 1, WHITE).shape == (1, 256, 256, 1)


def test_batches_that_are_merged_and_split_have_the_values_of_single_slices(client):
    slices = np.random.default_rng(3).integers(0, 256, (16, 256, 256, 3), dtype=np.uint8)
    single = np.concatenate(
        list(client.predict_many("still", 1, (slices[i : i + 1] for i in range(16)), in_flight=8))
    )
    np.testing.assert_array_equal(client.predict("still", 1, slices), single)
    np.testing.assert_allclose(single, slices.mean(-1, keepdims=True) / 255 * 0.5, atol=1e-6)


def test_it_stops_in_order_when_asked(standin):
    assert standin.stop() == 0
    assert "stopped" in standin.log
    assert "Traceback" not in standin.log


def run_command(*arguments: str, **environ: str) -> tuple[int, str]:
    """Exit status and what was written to standard error, without TensorFlow's own lines."""
    result = subprocess.run(
        [sys.executable, "-m", "metseg_serving", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environ},
    )
    return result.returncode, result.stderr


def test_a_taken_port_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, error = run_command("--port", str(free_port()), METSEG_SERVING_REST_PORT=str(port))
    assert (status, error) == (2, f"metseg-serving: port {port} on 127.0.0.1: is taken\n")


def test_a_wrong_setting_is_one_clear_line():
    status, error = run_command(METSEG_SERVING_PORT="many")
    assert status == 2
    assert error.startswith("metseg-serving: METSEG_SERVING_PORT: ")
    assert error.count("\n") == 1


def test_an_empty_folder_is_refused_before_a_port_opens(tmp_path, capsys):
    options = build_parser(ServingSettings()).parse_args(["--models", str(tmp_path)])
    assert run(options, Ports("127.0.0.1", free_port())) == 1
    assert capsys.readouterr().err == f"metseg-serving: {tmp_path}: no model with a version was found\n"


def test_a_configuration_that_cannot_be_read_is_one_clear_line(tmp_path, capsys):
    options = build_parser(ServingSettings()).parse_args(["--config", str(tmp_path / "models.config")])
    assert run(options, Ports("127.0.0.1", free_port())) == 2
    assert capsys.readouterr().err == f"metseg-serving: {tmp_path / 'models.config'}: No such file or directory\n"


def test_a_batching_file_without_batching_is_one_clear_line(tmp_path, capsys):
    options = build_parser(ServingSettings()).parse_args(["--batching_parameters_file=batching.config"])
    assert run(options, Ports("127.0.0.1", free_port())) == 2
    assert "batching_parameters_file is set without setting enable_batching" in capsys.readouterr().err


def test_flags_are_spelt_as_tensorflow_serving_spells_them():
    parser = build_parser(ServingSettings(serving_port=7))
    options = parser.parse_args(["--enable_serialization_as_tensor_content=false", "--rest_api_port=9"])
    assert (options.port, options.rest_api_port) == (7, 9)
    assert options.enable_serialization_as_tensor_content is False
    assert parser.parse_args(["--enable_serialization_as_tensor_content"]).enable_serialization_as_tensor_content
