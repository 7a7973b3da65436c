"""The server under test: metseg-serving, or the TF Serving at METSEG_CONTRACT_TARGET.

METSEG_CONTRACT_TARGET=host:port is its gRPC port, METSEG_CONTRACT_REST_PORT (8501) its REST port, and
METSEG_CONTRACT_MODEL (`tiny`) a model of metseg's that it serves. Only a server of the suite's own models, which
`make contract-models` writes, is asked to load, unload and relabel versions.

Every test that asks a server names, in `rests_on`, the source files of TF Serving (below `tensorflow_serving/`) or
of TensorFlow (below `tensorflow/`) that its expectations were read from.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from contract_models import FLAGS, MODEL, START, config_flags, make_folder
from google.protobuf import text_format
from standin import Standin, rest, wait_for
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest

UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
RETRY_FLAGS = [
    "--max_num_load_retries=1",
    "--load_retry_interval_micros=100000",
    "--file_system_poll_wait_seconds=0.2",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that asks a server and does not say where it knows the answer from.

    Raises:
        UsageError: One has no mark `rests_on`.
    """
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    asking = [item for item in here if {"server", "own_server", "standins"} & set(item.fixturenames)]
    unfounded = sorted(item.nodeid for item in asking if item.get_closest_marker("rests_on") is None)
    if unfounded:
        raise pytest.UsageError(f"name the source files they rest on: {', '.join(unfounded)}")


@dataclass(frozen=True)
class Server:
    """A server and a client built on the real stubs."""

    target: str
    rest_url: str
    model: str
    channel: grpc.Channel

    @property
    def predictions(self) -> prediction_service_pb2_grpc.PredictionServiceStub:
        return prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

    @property
    def models(self) -> model_service_pb2_grpc.ModelServiceStub:
        return model_service_pb2_grpc.ModelServiceStub(self.channel)

    def rest(self, path: str, body: object = None) -> tuple[int, dict]:
        return rest(self.rest_url, path, body)

    def reload(self, config: str, timeout: float = 60) -> None:
        request = ReloadConfigRequest()
        text_format.Parse(config, request.config)
        self.models.HandleReloadConfigRequest(request, timeout=timeout)

    def states(self) -> dict[int, int]:
        """State of each version of the model, as its number."""
        request = GetModelStatusRequest()
        request.model_spec.name = self.model
        status = self.models.GetModelStatus(request, timeout=30)
        return {entry.version: entry.state for entry in status.model_version_status}


def named_server() -> Server | None:
    target = os.environ.get("METSEG_CONTRACT_TARGET")
    if not target:
        return None
    rest_url = f"http://{target.rpartition(':')[0]}:{os.environ.get('METSEG_CONTRACT_REST_PORT', '8501')}"
    model = os.environ.get("METSEG_CONTRACT_MODEL", MODEL)
    return Server(target, rest_url, model, grpc.insecure_channel(target, UNLIMITED))


@pytest.fixture(scope="session")
def standins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two local model servers with one model: as it comes, and as it is meant to be run."""
    if named_server() is not None:
        pytest.skip("compares two local model servers with flags of their own, and not the named server")
    folder: Path = make_folder(tmp_path_factory.mktemp("contract") / "served")
    default = [f"--model_config_file={folder}/config/models.config", FLAGS[0]]
    tuned = [*config_flags(f"{folder}/config"), *FLAGS, *RETRY_FLAGS]
    with ExitStack() as stack:
        running = [
            stack.enter_context(Standin(folder / "models", folder / "default.log", *default)),
            stack.enter_context(Standin(folder / "models", folder / "tuned.log", *tuned)),
        ]
        servers = []
        for standin in running:
            standin.wait_until_ready()
            channel = stack.enter_context(grpc.insecure_channel(standin.target, UNLIMITED))
            servers.append(Server(standin.target, f"http://127.0.0.1:{standin.rest_port}", MODEL, channel))
        yield servers[0], servers[1]
        for standin in running:
            standin.process.terminate()


@pytest.fixture(scope="session", params=["as it comes", "as it is run"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Each server that has to keep the contract."""
    named = named_server()
    if named is None:
        default, tuned = request.getfixturevalue("standins")
        yield default if request.param == "as it comes" else tuned
    elif request.param == "as it comes":
        with named.channel:
            yield named
    else:
        pytest.skip("the named server is tested once")


@pytest.fixture(scope="session")
def _own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    named = named_server()
    if named is None:
        yield request.getfixturevalue("standins")[1]
    elif named.model != MODEL:
        pytest.skip("the named server does not serve the suite's own models, so they are not changed")
    else:
        with named.channel:
            yield named


@pytest.fixture
def own_server(_own_server: Server) -> Iterator[Server]:
    """The server as it is meant to be run, of the suite's own models, which a test may change."""
    yield _own_server
    _own_server.reload(START.replace("version_labels", "#"))
    wait_for(lambda: all(_own_server.states().get(version) == 30 for version in (1, 2)), 60)
    _own_server.reload(START)
