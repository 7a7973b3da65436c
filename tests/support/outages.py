"""Stores that go away for a while and come back as they were."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import boto3
import pytest
from moto.server import ThreadedMotoServer

from metseg_worker import retry

BUCKET = "metseg"
USER = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}


class Outage(Protocol):
    """A store that can be away.

    Attributes:
        place: Where it is opened.
    """

    place: str

    def begin(self) -> None:
        """Let it be away."""

    def end(self) -> None:
        """Let it come back."""


class FolderOutage:
    """A folder that somebody moves away."""

    def __init__(self, folder: Path) -> None:
        self.place = str(folder)
        self._folder, self._elsewhere = folder, folder.with_name("elsewhere")

    def begin(self) -> None:
        self._folder.rename(self._elsewhere)

    def end(self) -> None:
        self._elsewhere.rename(self._folder)


class ServerOutage:
    """An S3 bucket on loopback whose server stops; inside the block, credentials are in the environment."""

    place = f"s3://{BUCKET}/some/prefix"

    def __enter__(self) -> Self:
        self._port = 0
        self.end()
        address = f"http://127.0.0.1:{self._port}"
        self._environment = pytest.MonkeyPatch()
        for name, value in {"AWS_ENDPOINT": address, "AWS_ALLOW_HTTP": "true"}.items():
            self._environment.setenv(name, value)
        for name, value in USER.items():
            self._environment.setenv(name.upper().replace("REGION_NAME", "AWS_REGION"), value)
        boto3.client("s3", endpoint_url=address, **USER).create_bucket(Bucket=BUCKET)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self._environment.undo()

    def begin(self) -> None:
        self._server.stop()

    def end(self) -> None:
        """Serve, on the earlier port; what was stored is still there."""
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()
        self._port = self._server.get_host_and_port()[1]


@contextmanager
def once_it_waits(action: Callable[[], object]) -> Iterator[list[str]]:
    """Do something when an attempt begins to wait for its store; what was logged of that."""
    told: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())
            action()

    listener = Listener()
    retry.logger.addHandler(listener)
    try:
        yield told
    finally:
        retry.logger.removeHandler(listener)
