"""metseg-serving with a models file: labels at the start, and a file that changes under it."""

from pathlib import Path

import numpy as np
import pytest
from standin import Standin, free_port, save_model, wait_for

from metseg_serving.__main__ import build_parser
from metseg_serving.launch import run
from metseg_serving.ports import Ports
from metseg_serving.settings import ServingSettings

pytestmark = pytest.mark.slow

BROKEN = 3
"""A version without a graph, which lies beside the good ones from the start."""
WHITE = np.full((1, 256, 256, 3), 255, np.uint8).tolist()


def write_config(file: Path, *, stable: int) -> Path:
    file.write_text(
        f"""model_config_list {{ config {{
          name: "net" base_path: "/models/net" model_platform: "tensorflow"
          model_version_policy {{ all {{}} }}
          version_labels {{ key: "stable" value: {stable} }}
        }} }}"""
    )
    return file


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("configured")
    for version in (1, 2):
        save_model(folder / "net" / str(version), scale=version / 4)
    (folder / "net" / str(BROKEN)).mkdir()
    return folder


def test_labels_at_the_start_need_their_flag(models, tmp_path, capsys):
    config = write_config(tmp_path / "models.config", stable=1)
    options = build_parser(ServingSettings()).parse_args(["--models", str(models), f"--config={config}"])
    assert run(options, Ports("127.0.0.1", free_port())) == 1
    assert "label to version 1 of model net, which is not currently available" in capsys.readouterr().err


def test_a_file_that_changes_is_followed_and_one_that_cannot_be_used_is_not(models, tmp_path):
    config = write_config(tmp_path / "models.config", stable=1)
    flags = [
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=0.1",
        "--allow_version_labels_for_unavailable_models",
        "--max_num_load_retries=1",
        "--load_retry_interval_micros=100000",
    ]
    with Standin(models, tmp_path / "log", *flags) as standin:
        standin.wait_until_ready()

        def stable() -> float:
            answer = standin.rest("/v1/models/net/labels/stable:predict", {"instances": WHITE})[1]
            return float(np.max(answer["predictions"]))

        assert standin.states("net") == {1: "AVAILABLE", 2: "AVAILABLE", BROKEN: "END"}
        assert stable() == 0.25
        write_config(config, stable=2)
        wait_for(lambda: stable() == 0.5)
        config.write_text("nonsense")
        wait_for(lambda: "nonsense" in standin.log)
        write_config(config, stable=9)
        wait_for(lambda: "version 9 of model net" in standin.log)
        assert stable() == 0.5
