"""What the deployment's files must agree on with the code, without a container engine."""

from typing import Any

import pytest
import yaml

from deploy.local.settings import ROOT
from metseg.settings import EnvSettings
from metseg_api.settings import ApiSettings
from metseg_serving.__main__ import build_parser
from metseg_serving.settings import ServingSettings
from metseg_ui.settings import Settings as PageSettings
from metseg_worker.settings import WorkerSettings

SETTINGS: dict[str, type[EnvSettings]] = {"api": ApiSettings, "worker": WorkerSettings, "ui": PageSettings}
OF_THE_IMAGE = {
    *("METSEG_HOST", "METSEG_API_PORT", "METSEG_UI_PORT", "METSEG_REDIS_PORT", "METSEG_SERVING_PORT"),
    *("METSEG_STORE", "METSEG_MODELS", "METSEG_KEYS"),
}
"""Addresses and places inside a container, which nobody has to change."""
INSTEAD = {"METSEG_API_KEY": "METSEG_API_KEY_FILE"}
"""What may not stand in an environment, and what does so for it."""


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def test_the_stand_in_takes_the_command_line_of_the_real_server() -> None:
    options = build_parser(ServingSettings()).parse_args(services()["serving"]["command"][:-2])
    assert (options.port, options.rest_api_port) == (8500, 8501)


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
    assert told["read_only"] is True
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "ipc"} & set(told)
