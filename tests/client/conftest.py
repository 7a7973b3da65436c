"""A fake API that keeps jobs in memory, and a client of it."""

from collections.abc import Iterator

import pytest
from fake_api import FakeApi
from phantoms import card

from metseg_client import MetsegClient

FILES = {"mask.nii.gz": ("application/gzip", bytes(range(256)) * 2000), "empty.csv": ("text/csv", b"")}


@pytest.fixture
def api() -> FakeApi:
    return FakeApi([card()], dict(FILES))


@pytest.fixture
def client(api: FakeApi) -> Iterator[MetsegClient]:
    with MetsegClient("http://api", transport=api.transport()) as client:
        yield client
