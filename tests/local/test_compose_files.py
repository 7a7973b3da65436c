"""What the deployment's files must agree on with the code, without a container engine."""

import re
from typing import Any

import pytest
import yaml

from deploy.local.settings import ROOT
from metseg.settings import EnvSettings
from metseg_api.server import RESERVED_FILES
from metseg_api.settings import ApiSettings
from metseg_serving.__main__ import build_parser
from metseg_serving.settings import ServingSettings
from metseg_ui.settings import Settings as PageSettings
from metseg_worker.settings import WorkerSettings

SETTINGS: dict[str, type[EnvSettings]] = {"api": ApiSettings, "worker": WorkerSettings, "ui": PageSettings}
OF_THE_IMAGE = {
    *("METSEG_HOST", "METSEG_API_PORT", "METSEG_UI_PORT", "METSEG_REDIS_PORT", "METSEG_SERVING_PORT"),
    *("METSEG_STORE", "METSEG_MODELS", "METSEG_KEYS"),
    "METSEG_OPEN",
}
"""Addresses and places inside a container, which nobody has to change; others reach it, so it is never open."""
INSTEAD = {"METSEG_API_KEY": "METSEG_API_KEY_FILE"}
"""What may not stand in an environment, and what does so for it."""


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def test_the_stand_in_takes_the_command_line_of_the_real_server() -> None:
    options = build_parser(ServingSettings()).parse_args(services()["serving"]["command"][:-2])
    assert (options.port, options.rest_api_port) == (8500, 8501)
    assert (options.num_load_threads, options.max_num_load_retries) == (2, 2)
    assert options.load_retry_interval_micros == 5_000_000


def threads_needed(command: list[str], host_cpus: int, granted_cpus: int) -> int:
    """Threads of TensorFlow Serving on a host, from its flags.

    REST, gRPC and the first load take four for each logical processor of the host, whatever a container was
    granted (`model_servers/server.h`, `server_core.h`; the last has no flag). TensorFlow's two pools are as large
    as the flags of parallelism say. What is left is gRPC's own, batching, looks at files and CUDA's: some dozens.
    """
    given = dict(flag.removeprefix("--").split("=", 1) for flag in command if "=" in flag)
    by_host = 4 * host_cpus
    rest, grpc = (int(given.get(flag, by_host)) for flag in ("rest_api_num_threads", "grpc_max_threads"))
    return rest + grpc + by_host + 2 * granted_cpus + 256


@pytest.mark.parametrize(("host_cpus", "granted_cpus"), [(2, 2), (128, 2), (192, 8), (256, 256)])
def test_the_model_server_may_have_twice_the_threads_it_needs(host_cpus: int, granted_cpus: int) -> None:
    serving = services()["serving"]
    pids = serving["deploy"]["resources"]["limits"]["pids"]
    assert 2 * threads_needed(serving["command"], host_cpus, granted_cpus) <= pids


@pytest.mark.parametrize("service", ["serving", "trainer"])
def test_model_server_and_trainer_share_a_gpu_that_the_operator_can_choose(service: str) -> None:
    told = services()[service]
    assert told["environment"]["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    (device,) = told["deploy"]["resources"]["reservations"]["devices"]
    assert device == {
        "driver": "nvidia",
        "device_ids": [f"${{{service.upper()}_GPU:-0}}"],
        "capabilities": ["gpu"],
    }
    assert told["read_only"] == "${GPU_READ_ONLY:-true}"


def test_a_gpu_that_was_asked_for_is_not_told_as_one_that_was_used() -> None:
    assert (
        services()["worker"]["environment"]["METSEG_SERVING_DEVICE"] == "${METSEG_SERVING_DEVICE:-requested GPU}"
    )


def test_the_models_file_is_looked_at_once_a_minute() -> None:
    assert "--model_config_file_poll_wait_seconds=60" in services()["serving"]["command"]


def test_the_page_starts_when_the_gateway_takes_uploads() -> None:
    assert services()["ui"]["depends_on"]["api"] == {"condition": "service_healthy"}
    check = re.search(r"^HEALTHCHECK.*\n.*", (ROOT / "services/api/Dockerfile").read_text(), re.MULTILINE)
    assert check is not None
    assert "/readyz" in check[0]


def test_every_variable_of_the_compose_files_is_in_the_list_of_settings() -> None:
    listed = (ROOT / ".env.example").read_text() + (ROOT / "docs" / "deployment.md").read_text()
    files = [ROOT / "docker-compose.yml", *ROOT.glob("compose.*.yaml")]
    used = {name for file in files for name in re.findall(r"\$\{(\w+)", file.read_text())}
    assert {name for name in used if name not in listed} == set()


@pytest.mark.parametrize("service", SETTINGS)
def test_every_setting_of_a_service_can_be_set_from_outside_its_container(service: str) -> None:
    given = set(services()[service]["environment"])
    missing = {INSTEAD.get(name, name) for name in SETTINGS[service].variables().values()} - OF_THE_IMAGE - given
    assert missing == set(), f"docker-compose.yml: name these below `environment:` of {service}"
    assert given <= set(SETTINGS[service].variables().values()), "nobody reads these"


@pytest.mark.parametrize("service", services())
def test_a_service_has_limits(service: str) -> None:
    assert set(services()[service]["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}


@pytest.mark.parametrize("service", [name for name, told in services().items() if "profiles" not in told])
def test_a_service_is_confined(service: str) -> None:
    told = services()[service]
    assert told["read_only"] is True or (service == "serving" and told["read_only"] == "${GPU_READ_ONLY:-true}")
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "ipc"} & set(told)


def test_the_gateway_may_open_a_file_for_each_connection() -> None:
    wanted = ApiSettings.model_fields["max_connections"].default + RESERVED_FILES
    assert services()["api"]["ulimits"]["nofile"] >= wanted
