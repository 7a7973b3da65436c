"""A running API for each test, to be imported by a conftest that needs one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from api_service import ApiService, StatusServer, api_settings, serving, write_cards
from redis_fixture import RedisServer

from metseg_api.auth.api_keys import KeyFile, Scope

SERVED = {"attention_unet": [1, 2, 9], "unet_plus_plus": [1]}
WITH_CARD = {"attention_unet": [1, 2, 3], "unet_plus_plus": [1], "inception_v3_segmenter": [1]}
MAX_UPLOAD_BYTES = 4 << 20


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    with TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        yield server


@pytest.fixture
def own_status_server() -> Iterator[StatusServer]:
    """For a test that stops it or changes what it serves."""
    server = StatusServer(SERVED)
    yield server
    server.stop()


@pytest.fixture
def own_api(tmp_path: Path, shared_redis: RedisServer, own_status_server: StatusServer) -> Iterator[ApiService]:
    """As `api`, for a test that breaks something behind it."""
    with _running(tmp_path, shared_redis, own_status_server) as running:
        yield running


@pytest.fixture(scope="session")
def shared_api(tmp_path_factory: pytest.TempPathFactory, shared_redis: RedisServer) -> Iterator[ApiService]:
    status_server = StatusServer(SERVED)
    with _running(tmp_path_factory.mktemp("api"), shared_redis, status_server) as running:
        yield running
    status_server.stop()


@pytest.fixture
def api(shared_api: ApiService) -> ApiService:
    """Everything is up and the store empty.

    Of the default model, version 2 is the newest that has a card and is served. Uploads have at most 4 MiB.
    """
    shutil.rmtree(shared_api.store)
    shared_api.store.mkdir()
    return shared_api


@contextmanager
def serving_with_keys(folder: Path, redis: RedisServer, status_server: StatusServer) -> Iterator[ApiService]:
    """An API that requires a key."""
    write_cards(folder / "models", {"attention_unet": [1]})
    settings = api_settings(folder, redis_url=redis.url, serving_at=status_server.target)
    KeyFile(settings.keys).create("first", [Scope.READ])
    with serving(settings) as running:
        yield running


@pytest.fixture
def locked(tmp_path: Path, shared_redis: RedisServer, own_status_server: StatusServer) -> Iterator[ApiService]:
    """An API that requires a key."""
    with serving_with_keys(tmp_path, shared_redis, own_status_server) as running:
        yield running


@pytest.fixture
def anna(locked: ApiService) -> Iterator[httpx.Client]:
    with locked.as_owner("anna") as client:
        yield client


@pytest.fixture
def bert(locked: ApiService) -> Iterator[httpx.Client]:
    with locked.as_owner("bert") as client:
        yield client


@contextmanager
def _running(folder: Path, redis: RedisServer, status_server: StatusServer) -> Iterator[ApiService]:
    write_cards(folder / "models", WITH_CARD)
    settings = api_settings(
        folder, redis_url=redis.url, serving_at=status_server.target, max_upload_bytes=MAX_UPLOAD_BYTES
    )
    with serving(settings) as running:
        yield running
