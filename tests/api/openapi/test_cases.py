"""Requests that the OpenAPI document allows, and others: each must be answered as the document tells.

schemathesis makes them from the document: its examples, the edges of each parameter, random ones, and chains along
its links. `make test-schema CASES=300` makes thousands.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_service import ApiService, StatusServer, api_settings, serving, write_cards
from instant_worker import working
from redis_fixture import RedisServer

from metseg_api.auth.api_keys import KeyFile, Scope

CASES = int(os.environ.get("SCHEMA_CASES") or 8)
"""Random requests of each operation."""
SEED = int(os.environ.get("SCHEMA_SEED") or 1)
SETTINGS = Path(__file__).parents[2] / "support" / "schemathesis.toml"
NO_LIMIT = 1_000_000


@pytest.fixture
def locked(tmp_path: Path, shared_redis: RedisServer, own_status_server: StatusServer) -> Iterator[ApiService]:
    """An API that wants a key, and has room for all that comes."""
    write_cards(tmp_path / "models", {"attention_unet": [1]})
    limits = dict.fromkeys(("max_requests_per_minute", "max_open_jobs", "max_queued"), NO_LIMIT)
    settings = api_settings(
        tmp_path,
        redis_url=shared_redis.url,
        serving_at=own_status_server.target,
        max_upload_bytes=4 << 20,
        **limits,
    )
    KeyFile(settings.keys).create("first", [Scope.READ])
    with serving(settings) as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(60 + 30 * CASES)
def test_every_answer_is_one_that_the_document_tells_of(locked: ApiService, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    with locked.as_owner("anna", *Scope) as anna, working(locked, tmp_path / "scratch"):
        key = anna.headers["authorization"].removeprefix("Bearer ")
        ran = run_schemathesis(locked.url, key, tmp_path)
    told = json.loads((tmp_path / "report.json").read_text())
    cases = told["test_cases"]
    sys.stdout.write(f"\n{cases['generated']} cases in {told['running_time']:.0f} s, seed {SEED}\n")
    assert ran.returncode == 0, ran.stdout[-20_000:]
    assert told["operations"]["tested"] == told["operations"]["total"]
    assert {phase["status"] for phase in told["phases"].values()} == {"success"}
    assert cases["generated"] > 8 * CASES  # an operation without parameters has but one request


def run_schemathesis(url: str, key: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(SETTINGS)),
        *("run", f"{url}/v1/openapi.json"),
        *("--max-examples", str(CASES), "--seed", str(SEED), "--report-json-path", str(folder / "report.json")),
    ]
    environ = os.environ | {"METSEG_API_KEY": key}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
