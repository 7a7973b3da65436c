"""What metseg relies on in TF Serving, asked through the real stubs and over REST."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from metseg.errors import UnknownModelError
from metseg.serving.client import ServingClient

pytestmark = pytest.mark.slow

AVAILABLE = 30


@pytest.fixture(scope="module")
def slices():
    return np.random.default_rng(2).integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)


@pytest.fixture
def version(server):
    status = server.models.GetModelStatus(status_request(server.model), timeout=30)
    return max(entry.version for entry in status.model_version_status if entry.state == AVAILABLE)


def status_request(model, version=None):
    request = GetModelStatusRequest()
    request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    return request


def predict_request(model, **inputs):
    request = PredictRequest()
    request.model_spec.name = model
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return request


def refusal(call, request):
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=30)
    return caught.value.code(), caught.value.details()


def real_predict(server, slices):
    reply = server.predictions.Predict(predict_request(server.model, slices=slices), timeout=60)
    return tf.make_ndarray(reply.outputs["probability"])


@pytest.mark.rests_on("tensorflow_serving/servables/tensorflow/predict_util.cc")
def test_a_client_on_the_real_stubs_gets_probabilities_of_each_pixel(server, slices):
    probability = real_predict(server, slices)
    assert (probability.dtype, probability.shape) == (np.float32, (2, 256, 256, 1))
    assert probability.min() >= 0
    assert probability.max() <= 1


@pytest.mark.rests_on("tensorflow_serving/servables/tensorflow/predict_util.cc")
def test_metsegs_own_client_agrees_with_the_real_stubs_to_the_last_bit(server, slices, version):
    with ServingClient(server.target) as client:
        own = client.predict(server.model, version, slices)
    np.testing.assert_array_equal(own.view(np.uint32), real_predict(server, slices).view(np.uint32))


@pytest.mark.rests_on(
    "tensorflow_serving/model_servers/get_model_status_impl.cc",
    "tensorflow_serving/servables/tensorflow/get_model_metadata_impl.cc",
)
def test_metsegs_own_client_sees_the_same_versions_and_signature(server, version):
    with ServingClient(server.target) as client:
        assert client.available_versions(server.model)[0] == version
        client.check_signature(server.model, version)
        with pytest.raises(UnknownModelError):
            client.available_versions("nope")
        with pytest.raises(UnknownModelError):
            client.predict(server.model, 7777, np.zeros((1, 256, 256, 3), np.uint8))


@pytest.mark.rests_on("tensorflow_serving/servables/tensorflow/predict_util.cc")
def test_the_reply_says_which_version_answered(server, slices, version):
    reply = server.predictions.Predict(predict_request(server.model, slices=slices[:1]), timeout=60)
    spec = reply.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (server.model, version, "serving_default")


@pytest.mark.rests_on(
    "tensorflow_serving/servables/tensorflow/predict_util.cc", "tensorflow_serving/model_servers/server.cc"
)
def test_the_default_reply_is_typed_and_the_flag_makes_it_bytes(standins, slices):
    default, tuned = (
        server.predictions.Predict(predict_request("tiny", slices=slices), timeout=60).outputs["probability"]
        for server in standins
    )
    assert (len(default.float_val), default.tensor_content) == (2 * 256 * 256, b"")
    assert (len(tuned.float_val), len(tuned.tensor_content)) == (0, 4 * 2 * 256 * 256)


@pytest.mark.rests_on("tensorflow_serving/model_servers/server.cc")
def test_a_server_without_batching_takes_a_request_of_any_size_in_a_message_over_four_mebibytes(standins):
    request = predict_request("tiny", slices=np.zeros((24, 256, 256, 3), np.uint8))
    reply = standins[0].predictions.Predict(request, timeout=60)
    assert reply.outputs["probability"].tensor_shape.dim[0].size == 24


@pytest.mark.rests_on("tensorflow_serving/servables/tensorflow/get_model_metadata_impl.cc")
def test_metadata_names_the_signature(server, version):
    request = GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = server.model
    reply = server.predictions.GetModelMetadata(request, timeout=30)
    signatures = SignatureDefMap()
    assert reply.metadata["signature_def"].Unpack(signatures)
    signature = signatures.signature_def["serving_default"]
    assert reply.model_spec.version.value == version
    assert (list(signature.inputs), list(signature.outputs)) == (["slices"], ["probability"])
    assert signature.inputs["slices"].dtype == tf.uint8.as_datatype_enum
    assert [dim.size for dim in signature.inputs["slices"].tensor_shape.dim] == [-1, 256, 256, 3]


@pytest.mark.rests_on(
    "tensorflow_serving/model_servers/get_model_status_impl.cc", "tensorflow_serving/core/basic_manager.cc"
)
def test_unknown_models_and_versions_are_not_found(server):
    not_found = grpc.StatusCode.NOT_FOUND
    status = server.models.GetModelStatus
    assert refusal(status, status_request("nope")) == (not_found, "Could not find any versions of model nope")
    assert refusal(status, status_request(server.model, 7777)) == (
        not_found,
        f"Could not find version 7777 of model {server.model}",
    )
    request = predict_request("nope", slices=np.zeros((1, 256, 256, 3), np.uint8))
    predict = server.predictions.Predict
    assert refusal(predict, request) == (not_found, "Servable not found for request: Latest(nope)")
    request.model_spec.name = server.model
    request.model_spec.version.value = 7777
    assert refusal(predict, request) == (
        not_found,
        f"Servable not found for request: Specific({server.model}, 7777)",
    )


@pytest.mark.rests_on("tensorflow_serving/model_servers/server_core.cc")
def test_an_unknown_label_is_an_invalid_argument(server):
    request = predict_request(server.model, slices=np.zeros((1, 256, 256, 3), np.uint8))
    request.model_spec.version_label = "nope"
    assert refusal(server.predictions.Predict, request) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Unrecognized servable version label: nope",
    )


@pytest.mark.rests_on(
    "tensorflow_serving/servables/tensorflow/predict_util.cc", "tensorflow/core/framework/function.cc"
)
@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({}, "input size does not match signature: 0!=1"),
        ({"slices": np.zeros((1, 256, 256, 3), np.float32)}, "Expects arg[0] to be uint8 but float is provided"),
        ({"slices": np.zeros((1, 256, 256, 3), np.int64)}, "Expects arg[0] to be uint8 but int64 is provided"),
    ],
)
def test_wrong_inputs_are_invalid_arguments(server, inputs, text):
    code, details = refusal(server.predictions.Predict, predict_request(server.model, **inputs))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text in details


@pytest.mark.rests_on("tensorflow_serving/batching/batching_session.cc")
def test_a_scalar_cannot_be_batched(standins):
    assert refusal(standins[1].predictions.Predict, predict_request("tiny", slices=np.uint8(1))) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Batching Run() input tensors must have at least one dimension",
    )


@pytest.mark.rests_on("tensorflow/cc/saved_model/util.cc")
def test_values_that_do_not_fill_the_shape_are_refused(server, slices):
    request = predict_request(server.model, slices=slices)
    request.inputs["slices"].tensor_content = b"too few"
    code, details = refusal(server.predictions.Predict, request)
    assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, "tensor parsing error: slices")


@pytest.mark.rests_on("tensorflow_serving/servables/tensorflow/predict_util.cc")
def test_unknown_signatures_and_outputs_are_refused(server, slices):
    request = predict_request(server.model, slices=slices)
    request.output_filter.append("nope")
    code, details = refusal(server.predictions.Predict, request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "output tensor alias not found in signature: nope" in details
    request = predict_request(server.model, slices=slices)
    request.model_spec.signature_name = "nope"
    assert refusal(server.predictions.Predict, request) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        'Serving signature key "nope" not found.',
    )


@pytest.mark.rests_on(
    "tensorflow_serving/model_servers/http_rest_api_handler.cc",
    "tensorflow_serving/model_servers/get_model_status_impl.cc",
)
def test_rest_tells_the_state_of_every_version(server, version):
    code, answer = server.rest(f"/v1/models/{server.model}")
    entry = {"version": str(version), "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert code == 200
    assert entry in answer["model_version_status"]
    assert server.rest(f"/v1/models/{server.model}/versions/{version}") == (200, {"model_version_status": [entry]})


@pytest.mark.rests_on(
    "tensorflow_serving/model_servers/http_rest_api_util.cc",
    "tensorflow_serving/servables/tensorflow/get_model_metadata_impl.cc",
)
def test_rest_tells_the_signature(server, version):
    code, answer = server.rest(f"/v1/models/{server.model}/metadata")
    assert code == 200
    assert answer["model_spec"] == {"name": server.model, "signature_name": "", "version": str(version)}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["slices"]["dtype"] == "DT_UINT8"
    assert [dim["size"] for dim in signature["outputs"]["probability"]["tensor_shape"]["dim"]][1:] == [
        "256",
        "256",
        "1",
    ]


@pytest.mark.rests_on("tensorflow_serving/util/json_tensor.cc")
def test_rest_answers_rows_and_columns_with_the_values_of_grpc(server, slices, version):
    expected = real_predict(server, slices[:1])
    path = f"/v1/models/{server.model}"
    for route, body, key in (
        (f"{path}:predict", {"instances": slices[:1].tolist()}, "predictions"),
        (f"{path}:predict", {"instances": [{"slices": slices[0].tolist()}]}, "predictions"),
        (f"{path}/versions/{version}:predict", {"inputs": slices[:1].tolist()}, "outputs"),
        (f"{path}:predict", {"inputs": {"slices": slices[:1].tolist()}}, "outputs"),
    ):
        code, answer = server.rest(route, body)
        assert code == 200
        np.testing.assert_array_equal(np.array(answer[key], np.float32), expected)


@pytest.mark.rests_on(
    "tensorflow_serving/model_servers/http_rest_api_handler.cc",
    "tensorflow_serving/model_servers/server_core.cc",
    "tensorflow_serving/core/basic_manager.cc",
    "tensorflow_serving/util/json_tensor.cc",
)
@pytest.mark.parametrize(
    ("path", "body", "code", "error"),
    [
        ("/v1/models/nope", None, 404, "Could not find any versions of model nope"),
        ("/v1/models/{model}/versions/7777", None, 404, "Could not find version 7777 of model {model}"),
        ("/v1/models/nope/metadata", None, 404, "Servable not found for request: Latest(nope)"),
        ("/v1/models/nope:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(nope)"),
        (
            "/v1/models/{model}/versions/7777:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Specific({model}, 7777)",
        ),
        (
            "/v1/models/{model}/labels/nope:predict",
            {"instances": [1]},
            400,
            "Unrecognized servable version label: nope",
        ),
        ("/v1/models", None, 400, "Missing model name in request."),
        ("/v1/nothing", None, 400, "Malformed request: GET /v1/nothing"),
        ("/v1/models/{model}:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        ("/v1/models/{model}:predict", b"", 400, "JSON Parse error: The document is empty"),
        (
            "/v1/models/{model}:predict",
            {"signature_name": "nope", "instances": [1]},
            400,
            'Serving signature name: "nope" not found in signature def',
        ),
        (
            "/v1/models/{model}:predict",
            {"inputs": {"x": [1]}},
            400,
            "Missing named input: slices in 'inputs' object.",
        ),
    ],
)
def test_rest_words_its_refusals(server, path, body, code, error):
    answer = server.rest(path.format(model=server.model), body)
    assert answer == (code, {"error": error.format(model=server.model)})


@pytest.mark.rests_on("tensorflow_serving/util/json_tensor.cc")
@pytest.mark.parametrize(
    ("instances", "text"),
    [
        ([[[[1.5, 2, 3]]]], "Type: Number is not of expected type: uint8"),
        ([[[["a", 2, 3]]]], "Type: String is not of expected type: uint8"),
        ([[[[1, 2, 3]], [[1, 2]]]], "Encountered list at unexpected size: 2 at level"),
        ([], "No values in 'instances' array"),
        ("text", "Expecting 'instances' to be an list/array"),
    ],
)
def test_rest_refuses_values_that_make_no_tensor(server, instances, text):
    code, answer = server.rest(f"/v1/models/{server.model}:predict", {"instances": instances})
    assert code == 400
    assert text in answer["error"]
