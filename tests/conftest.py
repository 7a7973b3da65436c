"""Fixtures that tests of several packages share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_stack import LiveStack


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The folder of real images; the test is skipped, saying so, where there is none."""
    folder = os.environ.get("METSEG_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("no real images: METSEG_DATA names no folder")
    return Path(folder)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """The whole stack, running on free ports with a store of its own; stopped at the end of the session."""
    with LiveStack(tmp_path_factory.mktemp("stack")) as running:
        yield running
