"""What operations expect: a page for Prometheus, a health check, and values that do not depend on company."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from standin import fetch
from tensorflow_serving.apis.predict_pb2 import PredictRequest

pytestmark = pytest.mark.slow

PAGE = "/monitoring/prometheus/metrics"
SERVING = b"\x08\x01"


def ask(server, slices, *, model=None, typed=False):
    request = PredictRequest()
    request.model_spec.name = model or server.model
    tensor = tf.make_tensor_proto(slices)
    if typed:
        tensor.tensor_content = b""
        tensor.int_val.extend(slices.ravel().tolist())
    request.inputs["slices"].CopyFrom(tensor)
    return tf.make_ndarray(server.predictions.Predict(request, timeout=60).outputs["probability"])


def of_model(server) -> str:
    return f'model_name="{server.model}"'


def samples(server) -> dict[str, float]:
    status, text = fetch(server.rest_url + PAGE)
    assert status == 200
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


@pytest.mark.rests_on(
    "tensorflow_serving/model_servers/prediction_service_impl.cc",
    "tensorflow_serving/servables/tensorflow/predict_util.cc",
    "tensorflow_serving/servables/tensorflow/util.cc",
)
def test_the_page_counts_requests_by_model_and_status_and_times_them(own_server):
    black = np.zeros((1, 256, 256, 3), np.uint8)
    names = [
        f':tensorflow:serving:request_count{{{of_model(own_server)},status="OK"}}',
        f':tensorflow:serving:request_latency_count{{{of_model(own_server)},API="Predict",entrypoint="GRPC"}}',
        f':tensorflow:serving:runtime_latency_count{{{of_model(own_server)},API="Predict",runtime="TF1"}}',
    ]
    refused = ':tensorflow:serving:request_count{model_name="nope",status="NOT_FOUND"}'
    ask(own_server, black)
    before = samples(own_server)
    ask(own_server, black)
    with pytest.raises(grpc.RpcError):
        ask(own_server, black, model="nope")
    after = samples(own_server)
    assert after[refused] == before.get(refused, 0) + 1
    for name in names:
        assert after[name] == before[name] + 1, name


@pytest.mark.rests_on(
    "tensorflow_serving/servables/tensorflow/util.cc", "tensorflow_serving/util/prometheus_exporter.cc"
)
def test_the_buckets_of_a_time_grow_to_its_count(own_server):
    ask(own_server, np.zeros((1, 256, 256, 3), np.uint8))
    name = ":tensorflow:serving:request_latency"
    inside = f'{of_model(own_server)},API="Predict",entrypoint="GRPC"'
    counted = samples(own_server)
    buckets = [value for key, value in counted.items() if key.startswith(f"{name}_bucket{{{inside},le=")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == counted[f"{name}_count{{{inside}}}"]
    assert counted[f'{name}_bucket{{{inside},le="+Inf"}}'] == buckets[-1]


@pytest.mark.rests_on("tensorflow_serving/model_servers/http_server.cc")
def test_without_its_file_there_is_no_page(standins):
    assert fetch(standins[0].rest_url + PAGE)[0] == 404


@pytest.mark.rests_on("tensorflow_serving/model_servers/server.cc")
def test_the_standard_health_check_says_serving(own_server):
    check = own_server.channel.unary_unary("/grpc.health.v1.Health/Check")
    for request in (b"", b"\x0a\x0cModelService", b"\x0a\x11PredictionService"):
        assert check(request, timeout=30) == SERVING
    with pytest.raises(grpc.RpcError) as caught:
        check(b"\x0a\x04nope", timeout=30)  # a HealthCheckRequest about the service `nope`
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.rests_on("tensorflow_serving/batching/batching_session.cc")
def test_the_values_of_a_request_do_not_depend_on_its_company_nor_its_size(server):
    slices = np.random.default_rng(5).integers(0, 256, (19, 256, 256, 3), dtype=np.uint8)
    alone = np.concatenate([ask(server, slices[i : i + 1]) for i in range(19)])
    with ThreadPoolExecutor(8) as pool:
        together = np.concatenate(list(pool.map(lambda i: ask(server, slices[i : i + 1]), range(19))))
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(
        np.concatenate([ask(server, slices[:16]), ask(server, slices[16:])]), alone, atol=1e-5
    )


@pytest.mark.rests_on("tensorflow_serving/model_servers/server.cc")
def test_a_message_over_four_mebibytes_is_answered(server):
    white = np.full((16, 256, 256, 3), 255, np.uint8)  # two bytes a value in a typed field: 6 MiB
    assert ask(server, white, typed=True).shape == (16, 256, 256, 1)


@pytest.mark.rests_on("tensorflow/core/kernels/batching_util/shared_batch_scheduler.h")
def test_a_request_of_more_slices_than_a_batch_is_refused(own_server):
    with pytest.raises(grpc.RpcError) as caught:
        ask(own_server, np.zeros((24, 256, 256, 3), np.uint8))
    assert (caught.value.code(), caught.value.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Task size 24 is larger than maximum input batch size 16",
    )


@pytest.mark.rests_on("tensorflow/core/framework/tensor.cc")
def test_a_request_in_typed_fields_has_the_answer_of_one_in_bytes(server):
    slices = np.random.default_rng(6).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    np.testing.assert_array_equal(ask(server, slices, typed=True), ask(server, slices))
