"""One deployment for the tests of this folder: built from nothing, started, at the end taken down."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from deployment import Deployment
from engine import engine

from metseg_client import MetsegClient

BUILT = ("models", "api", "worker", "ui")
"""What is built; metseg-serving is one more target of the file that `models` is built from."""


def build(deployed: Deployment) -> None:
    """Build every image from nothing: side by side, for one command builds in the order of the services' start."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(partial(deployed.compose, "build", "--no-cache"), BUILT))
    deployed.compose("build", "serving")


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    """Running and healthy; where TAG names images that are there, these are not built but taken."""
    began = time.monotonic()
    with engine() as environ, Deployment(environ) as deployed:
        if "TAG" not in os.environ:
            with deployed.timed("build"):
                build(deployed)
        with deployed.timed("first start"):
            deployed.up()
        yield deployed
        with deployed.timed("tear-down"):
            deployed.compose("--profile", "*", "down", "--volumes", "--remove-orphans")
        assert deployed.leftovers() == {"container": [], "network": [], "volume": []}
        deployed.timings_s["everything"] = time.monotonic() - began
        print("\n", {step: round(seconds) for step, seconds in deployed.timings_s.items()})  # noqa: T201
        print(deployed.docker("system", "df"))  # noqa: T201


@pytest.fixture(scope="session")
def api_key(deployment: Deployment) -> str:
    """A user's key, made as the operations guide says."""
    return deployment.compose("run", "--rm", "keys", "create", "tester").strip()


@pytest.fixture(scope="session")
def client(deployment: Deployment, api_key: str) -> Iterator[MetsegClient]:
    """A user at the published port."""
    with MetsegClient(deployment.api_url, api_key=api_key) as speaking:
        yield speaking
