"""Runs in processes of their own: killed and resumed, on several devices, on other backends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fit_in_process
import numpy as np
import pytest

from metseg_trainer.checkpoints import read_checkpoint
from metseg_trainer.networks.presets import build_network
from metseg_trainer.run_folder import RunFolder
from metseg_trainer.run_record import read_record

PATIENCE_S = 600.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

Begin = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def begin(write_cases, tmp_path: Path) -> Iterator[Begin]:
    """Begin a run in a process of its own; keywords are what `fit_in_process` takes."""
    data = write_cases(tmp_path / "data" / "own").parent
    begun: list[subprocess.Popen[bytes]] = []

    def start(run: str, *, backend: str = "tensorflow", **wish: Any) -> "subprocess.Popen[bytes]":
        whole = {"data": str(data), "run": str(tmp_path / run), "epochs": 2, "network": "attention_unet", **wish}
        environ = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        (tmp_path / run).mkdir(exist_ok=True)
        with (tmp_path / run / "stderr.txt").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, fit_in_process.__file__, json.dumps(whole)],
                env=environ,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.wait()


def finish(process: "subprocess.Popen[bytes]", run: Path) -> None:
    assert process.wait(timeout=PATIENCE_S) == 0, (run / "stderr.txt").read_text()[-3000:]


def rows_of(run: Path) -> list[dict[str, float]]:
    _, progress = read_checkpoint(RunFolder(run).checkpoint)
    return [{name: value for name, value in row.items() if name != "seconds"} for row in progress.rows]


def test_a_killed_run_goes_on_and_ends_with_the_bits_of_an_unbroken_one(begin: Begin, tmp_path: Path) -> None:
    wish = {"network": "unet_plus_plus", "epochs": 3, "changes": {"average": 0.5, "patience": 3}}
    unbroken = begin("whole", **wish)
    broken = begin("broken", hang_in_epoch=1, **wish)
    give_up = time.monotonic() + PATIENCE_S
    while not (tmp_path / "broken" / "hanging").exists():
        assert broken.poll() is None, (tmp_path / "broken" / "stderr.txt").read_text()[-3000:]
        assert time.monotonic() < give_up
        time.sleep(0.1)
    broken.send_signal(signal.SIGKILL)
    broken.wait()
    finish(unbroken, tmp_path / "whole")
    assert read_record(RunFolder(tmp_path / "broken").about).epochs_done == 1
    finish(begin("broken", resume=True, **wish), tmp_path / "broken")

    expected, seen = (read_checkpoint(RunFolder(tmp_path / run).checkpoint)[0] for run in ("whole", "broken"))
    for kind, arrays in vars(expected).items():
        assert arrays
        for values, wanted in zip(getattr(seen, kind), arrays, strict=True):
            np.testing.assert_array_equal(values, wanted)
    assert rows_of(tmp_path / "broken") == rows_of(tmp_path / "whole")
    np.testing.assert_array_equal(
        np.load(tmp_path / "broken" / "predicted.npy"), np.load(tmp_path / "whole" / "predicted.npy")
    )
    assert [start.from_epoch for start in read_record(RunFolder(tmp_path / "broken").about).starts] == [0, 1]


def test_two_devices_that_share_a_batch_learn_what_one_learns(begin: Begin, tmp_path: Path) -> None:
    finish(begin("both", devices=[1, 2], logical_devices=2), tmp_path / "both")
    one, two = rows_of(tmp_path / "both" / "on_1"), rows_of(tmp_path / "both" / "on_2")
    assert [row["loss"] for row in two] == pytest.approx([row["loss"] for row in one], rel=1e-4)
    np.testing.assert_allclose(
        np.load(tmp_path / "both" / "on_2" / "predicted.npy"),
        np.load(tmp_path / "both" / "on_1" / "predicted.npy"),
        atol=1e-3,
    )
    assert len(read_record(RunFolder(tmp_path / "both" / "on_2").about).starts[0].devices) == 2


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_weights_from_another_backend_answer_alike_under_tensorflow(
    backend: str, begin: Begin, tmp_path: Path
) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install {backend}, and the trainer runs on it, too")
    finish(begin("other", backend=backend), tmp_path / "other")
    folder = RunFolder(tmp_path / "other")
    assert read_record(folder.about).starts[0].backend == backend
    assert read_record(folder.about).end == "all epochs are done"
    assert read_checkpoint(folder.checkpoint)[1].epoch == 2
    network = build_network("attention_unet", "tiny", fit_in_process.FRAME.size)
    network.load_weights(folder.best)
    found = network(fit_in_process.slices(), training=False)
    np.testing.assert_allclose(found, np.load(folder.path / "predicted.npy"), atol=1e-5)
