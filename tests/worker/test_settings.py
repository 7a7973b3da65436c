"""The worker's settings, and that a wrong one stops the start with one line."""

import subprocess
import sys

import pytest

from metseg.errors import SettingsError
from metseg_worker.settings import WorkerSettings


def test_addresses_follow_the_ports():
    settings = WorkerSettings.from_env({"METSEG_REDIS_PORT": "7001", "METSEG_SERVING_PORT": "7002"})
    assert (settings.redis_url, settings.serving) == ("redis://127.0.0.1:7001/0", "127.0.0.1:7002")


def test_addresses_that_are_given_win():
    settings = WorkerSettings.from_env({"METSEG_REDIS_URL": "rediss://r:1/2", "METSEG_SERVING": "s:3"})
    assert (settings.redis_url, settings.serving) == ("rediss://r:1/2", "s:3")


@pytest.mark.parametrize(
    ("name", "value"),
    [("METSEG_JOB_TIMEOUT_S", "0"), ("METSEG_REDIS_URL", "http://r"), ("METSEG_REDIS_PORT", "x")],
)
def test_a_wrong_value_names_its_variable(name, value):
    with pytest.raises(SettingsError, match=name):
        WorkerSettings.from_env({name: value})


def test_a_wrong_value_stops_the_start_with_one_line():
    command = [sys.executable, "-m", "metseg_worker"]
    done = subprocess.run(command, env={"METSEG_SERVING": "nowhere"}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("metseg-worker: METSEG_SERVING")
    assert done.stderr.count("\n") == 1
