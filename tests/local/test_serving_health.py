"""The health check inside the model server's container, against a server that tells states as TF Serving does."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.local.settings import ROOT

SCRIPT = ROOT / "deploy" / "compose" / "serving_health.sh"
SHIPPED = ROOT / "services" / "serving" / "models.config"
MODELS = ("attention_unet", "unet_plus_plus", "inception_v3_segmenter")


class Server(ThreadingHTTPServer):
    """Knows the states of the versions of each model."""

    states: dict[str, list[str]]


class Answer(BaseHTTPRequestHandler):
    """GET /v1/models/NAME."""

    server: Server

    def do_GET(self) -> None:
        states = self.server.states.get(self.path.removeprefix("/v1/models/"))
        self.send_response(404 if states is None else 200)
        self.end_headers()
        versions = [{"version": "1", "state": state} for state in states or []]
        self.wfile.write(json.dumps({"model_version_status": versions}).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answer) as running:
        running.states = {name: ["AVAILABLE"] for name in MODELS}
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def healthy(server: Server, config: Path = SHIPPED) -> bool:
    bash = shutil.which("bash") or "bash"
    command = [bash, SCRIPT, config, str(server.server_address[1])]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


def test_it_is_healthy_while_every_model_has_a_version_that_answers(server: Server) -> None:
    server.states["unet_plus_plus"] = ["AVAILABLE", "END"]
    assert healthy(server)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("states", [None, ["LOADING"], ["END"]])
def test_a_single_model_that_cannot_answer_is_enough(server: Server, model: str, states: list[str] | None) -> None:
    server.states.pop(model)
    if states is not None:
        server.states[model] = states
    assert not healthy(server)


def test_it_is_not_healthy_without_a_models_file_nor_with_its_port_shut(server: Server, tmp_path: Path) -> None:
    assert not healthy(server, tmp_path / "models.config")
    (tmp_path / "models.config").write_text("model_config_list { }")
    assert not healthy(server, tmp_path / "models.config")
    server.server_close()
    assert not healthy(server)
