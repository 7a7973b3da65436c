"""What a rollout relies on: labels, a reload of the configuration, and versions that come, go or are broken."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from contract_models import BROKEN, MODEL, SCALES, START
from standin import wait_for
from tensorflow_serving.apis.predict_pb2 import PredictRequest

pytestmark = pytest.mark.slow

LOADING, AVAILABLE, END = 20, 30, 50
WHITE = np.full((1, 256, 256, 3), 255, np.uint8)


def listed(*entries: str) -> str:
    """A configuration of models."""
    return f"model_config_list {{ {' '.join(entries)} }}"


def entry(policy: str, labels: str = "", *, name: str = MODEL) -> str:
    """A model of the suite in a configuration."""
    return f"""config {{
        name: "{name}" base_path: "/models/tiny" model_platform: "tensorflow"
        model_version_policy {{ {policy} }} {labels}
    }}"""


def label(name: str, version: int) -> str:
    return f'version_labels {{ key: "{name}" value: {version} }}'


def white(server, *, version=None, label=None):
    """What a version makes of white."""
    request = PredictRequest()
    request.model_spec.name = MODEL
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    request.inputs["slices"].CopyFrom(tf.make_tensor_proto(WHITE))
    reply = server.predictions.Predict(request, timeout=60)
    return reply.model_spec.version.value, float(tf.make_ndarray(reply.outputs["probability"]).max())


def refused(server, config: str):
    with pytest.raises(grpc.RpcError) as caught:
        server.reload(config)
    return caught.value.code(), caught.value.details()


@pytest.mark.rests_on("tensorflow_serving/model_servers/server_core.cc")
def test_a_label_of_the_file_answers_over_both_ports(own_server):
    assert white(own_server, label="stable") == (1, SCALES[1])
    assert white(own_server) == (2, SCALES[2])
    path = f"/v1/models/{MODEL}/labels/stable"
    code, answer = own_server.rest(f"{path}:predict", {"instances": WHITE.tolist()})
    assert (code, np.max(answer["predictions"])) == (200, SCALES[1])
    assert own_server.rest(f"{path}/metadata")[1]["model_spec"]["version"] == "1"


@pytest.mark.rests_on("tensorflow_serving/model_servers/server_core.cc")
def test_a_reload_moves_labels_and_drops_those_it_does_not_name(own_server):
    both = "specific { versions: 1 versions: 2 }"
    own_server.reload(listed(entry(both, label("stable", 2) + label("canary", 1))))
    assert white(own_server, label="stable") == (2, SCALES[2])
    assert white(own_server, label="canary") == (1, SCALES[1])
    own_server.reload(listed(entry(both, label("stable", 1))))
    assert white(own_server, label="stable") == (1, SCALES[1])
    with pytest.raises(grpc.RpcError, match="Unrecognized servable version label: canary"):
        white(own_server, label="canary")


@pytest.mark.rests_on("tensorflow_serving/model_servers/server_core.cc")
def test_a_label_that_moves_to_a_version_that_cannot_answer_is_refused_and_nothing_changes(own_server):
    config = listed(entry("specific { versions: 1 versions: 2 versions: 7 }", label("stable", 7)))
    assert refused(own_server, config) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        f"Request to assign label to version 7 of model {MODEL}, which is not currently available for inference",
    )
    assert white(own_server, label="stable") == (1, SCALES[1])


@pytest.mark.rests_on(
    "tensorflow_serving/sources/storage_path/file_system_storage_path_source.cc",
    "tensorflow_serving/core/availability_preserving_policy.cc",
)
@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("specific { versions: 1 }", {1}),
        ("specific { versions: 2 }", {2}),
        ("", {BROKEN}),
        ("all {}", {1, 2, BROKEN}),
    ],
)
def test_the_policy_says_which_versions_are_served(own_server, policy, served):
    own_server.reload(listed(entry(policy)))
    loadable = served & set(SCALES) or set(SCALES)  # while the only one that is wanted is broken, the others stay
    wait_for(lambda: {v for v, state in own_server.states().items() if state == AVAILABLE} == loadable)
    assert (BROKEN in served) <= (BROKEN in own_server.states())


@pytest.mark.rests_on("tensorflow_serving/core/loader_harness.cc", "tensorflow_serving/util/retrier.cc")
def test_a_broken_version_harms_nothing_and_its_status_tells(own_server):
    own_server.reload(listed(entry(f"specific {{ versions: 2 versions: {BROKEN} }}", label("stable", 2))))
    wait_for(lambda: own_server.states().get(BROKEN) in (LOADING, END))
    assert white(own_server, label="stable") == (2, SCALES[2])
    code, _ = refused(own_server, listed(entry("all {}", label("stable", BROKEN))))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    if own_server.states()[BROKEN] == END:  # a server with its own pauses is five minutes away from that
        answer = own_server.rest(f"/v1/models/{MODEL}/versions/{BROKEN}")[1]
        status = answer["model_version_status"][0]["status"]
        assert status["error_code"] != "OK"
        assert status["error_message"]


@pytest.mark.rests_on(
    "tensorflow_serving/model_servers/server_core.cc", "tensorflow_serving/core/aspired_versions_manager.cc"
)
def test_a_model_that_is_left_out_is_unloaded(own_server):
    def state_of_other() -> str:
        return own_server.rest("/v1/models/other")[1]["model_version_status"][0]["state"]

    own = entry("specific { versions: 1 versions: 2 }", label("stable", 1))
    own_server.reload(listed(own, entry("specific { versions: 1 }", name="other")))
    assert state_of_other() == "AVAILABLE"
    own_server.reload(listed(own))
    wait_for(lambda: state_of_other() == "END")
    assert white(own_server, label="stable") == (1, SCALES[1])


@pytest.mark.rests_on(
    "tensorflow_serving/model_servers/model_service_impl.cc", "tensorflow_serving/model_servers/server_core.cc"
)
@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("", "Only ModelConfigList is currently supported"),
        (listed(entry(""), entry("")), "Illegal to list model tiny multiple times in config list"),
        (START.replace("/models/tiny", "tiny"), "absolute path or URI; got base_path()=tiny"),
        (
            START.replace('model_platform: "tensorflow"', ""),
            "nor ModelServerConfig::model_platform, model name is tiny",
        ),
    ],
)
def test_a_configuration_that_cannot_be_used_is_an_invalid_argument(own_server, config, text):
    code, details = refused(own_server, config)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text in details
    assert white(own_server, label="stable") == (1, SCALES[1])
