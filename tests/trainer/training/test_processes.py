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

from metseg_trainer.networks.presets import build_network
from metseg_trainer.training.checkpoints import read_checkpoint
from metseg_trainer.training.run_folder import RunFolder
from metseg_trainer.training.run_record import read_record

PATIENCE_S = 600.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

Begin = Callable[..., "subprocess.Popen[bytes]"]


WISH = {"network": "attention_unet", "epochs": 3, "changes": {"average": 0.5, "patience": 3}}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of all runs and of their data."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def begin(write_cases, base: Path) -> Iterator[Begin]:
    """Begin a run in a process of its own; keywords are what `fit_in_process` takes."""
    data = write_cases(base / "data" / "own").parent
    begun: list[subprocess.Popen[bytes]] = []

    def start(run: str, *, backend: str = "tensorflow", **wish: Any) -> "subprocess.Popen[bytes]":
        environ = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        (base / run).mkdir(exist_ok=True)
        with (base / run / "stderr.txt").open("wb") as said:
            process = subprocess.Popen(
                [
                    sys.executable,
                    fit_in_process.__file__,
                    json.dumps({"data": str(data), "run": str(base / run), **wish}),
                ],
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


@pytest.fixture(scope="module")
def unbroken(begin: Begin) -> "subprocess.Popen[bytes]":
    """A run that nothing stops, in the folder `whole`; it may still be going on."""
    return begin("whole", **WISH)


def finish(process: "subprocess.Popen[bytes]", run: Path) -> None:
    assert process.wait(timeout=PATIENCE_S) == 0, (run / "stderr.txt").read_text()[-3000:]


def rows_of(run: Path) -> list[dict[str, float]]:
    _, progress = read_checkpoint(RunFolder(run).checkpoint)
    return [{name: value for name, value in row.items() if name != "seconds"} for row in progress.rows]


def test_a_killed_run_goes_on_and_ends_with_the_bits_of_an_unbroken_one(
    begin: Begin, unbroken: "subprocess.Popen[bytes]", base: Path
) -> None:
    broken = begin("broken", hang_in_epoch=1, **WISH)
    give_up = time.monotonic() + PATIENCE_S
    while not (base / "broken" / "hanging").exists():
        assert broken.poll() is None, (base / "broken" / "stderr.txt").read_text()[-3000:]
        assert time.monotonic() < give_up
        time.sleep(0.1)
    broken.send_signal(signal.SIGKILL)
    broken.wait()
    finish(unbroken, base / "whole")
    assert read_record(RunFolder(base / "broken").about).epochs_done == 1
    finish(begin("broken", resume=True, **WISH), base / "broken")

    expected, seen = (read_checkpoint(RunFolder(base / run).checkpoint)[0] for run in ("whole", "broken"))
    for kind, arrays in vars(expected).items():
        assert arrays
        for values, wanted in zip(getattr(seen, kind), arrays, strict=True):
            np.testing.assert_array_equal(values, wanted)
    assert rows_of(base / "broken") == rows_of(base / "whole")
    predicted = [np.load(base / run / "predicted.npy") for run in ("whole", "broken")]
    np.testing.assert_array_equal(*predicted)
    assert [start.from_epoch for start in read_record(RunFolder(base / "broken").about).starts] == [0, 1]


def test_two_devices_that_share_a_batch_learn_what_one_learns(
    begin: Begin, unbroken: "subprocess.Popen[bytes]", base: Path
) -> None:
    finish(begin("shared", devices=2, **WISH), base / "shared")
    finish(unbroken, base / "whole")
    two, one = ([row["loss"] for row in rows_of(base / run)] for run in ("shared", "whole"))
    assert two == pytest.approx(one, rel=1e-4)
    predicted = [np.load(base / run / "predicted.npy") for run in ("shared", "whole")]
    np.testing.assert_allclose(*predicted, atol=1e-3)
    assert len(read_record(RunFolder(base / "shared").about).starts[0].devices) == 2


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_weights_from_another_backend_answer_alike_under_tensorflow(
    backend: str, begin: Begin, base: Path
) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install {backend}, and the trainer runs on it, too")
    finish(begin(backend, backend=backend, network="attention_unet", epochs=2), base / backend)
    folder = RunFolder(base / backend)
    assert read_record(folder.about).starts[0].backend == backend
    assert read_record(folder.about).end == "all epochs are done"
    assert read_checkpoint(folder.checkpoint)[1].epoch == 2
    network = build_network("attention_unet", "tiny", fit_in_process.FRAME.size)
    network.load_weights(folder.best)
    found = network(fit_in_process.slices(), training=False)
    np.testing.assert_allclose(found, np.load(folder.path / "predicted.npy"), atol=1e-5)
