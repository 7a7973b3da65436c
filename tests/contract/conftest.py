"""The server under test: a stand-in, or a real TF Serving named by METSEG_CONTRACT_SERVING.

METSEG_CONTRACT_SERVING=host:grpc_port,rest_port[,model] runs the suite against that server; the model is
`attention_unet` unless named.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from standin import Standin, rest, save_model
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


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


def named_server() -> Server | None:
    named = os.environ.get("METSEG_CONTRACT_SERVING")
    if not named:
        return None
    target, rest_port, *model = named.split(",")
    rest_url = f"http://{target.rpartition(':')[0]}:{rest_port}"
    return Server(target, rest_url, (model or ["attention_unet"])[0], grpc.insecure_channel(target, UNLIMITED))


@pytest.fixture(scope="session")
def standins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two stand-ins with one model: as it comes, and as it is meant to be run."""
    folder: Path = tmp_path_factory.mktemp("contract")
    save_model(folder / "models" / "tiny" / "1")
    flags = [
        "--enable_serialization_as_tensor_content=true",
        "--grpc_channel_arguments=grpc.max_receive_message_length=-1",
    ]
    with ExitStack() as stack:
        running = [
            stack.enter_context(Standin(folder / "models", folder / "default.log")),
            stack.enter_context(Standin(folder / "models", folder / "tuned.log", *flags)),
        ]
        servers = []
        for standin in running:
            standin.wait_until_ready()
            channel = stack.enter_context(grpc.insecure_channel(standin.target, UNLIMITED))
            servers.append(Server(standin.target, f"http://127.0.0.1:{standin.rest_port}", "tiny", channel))
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
