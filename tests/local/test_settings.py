from pathlib import Path

import pytest

from deploy.local.settings import ROOT, StackSettings, merged_environment
from metseg.errors import SettingsError


def test_every_service_is_told_the_addresses_of_this_stack() -> None:
    settings = StackSettings(api_port=18000, serving_port=18500, redis_port=16380)
    environ = settings.service_environment({"METSEG_REDIS_URL": "redis://elsewhere:1/0"})
    assert environ["METSEG_API_URL"] == "http://127.0.0.1:18000"
    assert environ["METSEG_SERVING"] == "127.0.0.1:18500"
    assert environ["METSEG_REDIS_URL"] == "redis://127.0.0.1:16380/0"


@pytest.mark.parametrize(
    ("given", "told"),
    [("data", str(ROOT / "data")), ("/srv/metseg", "/srv/metseg"), ("s3://scans/metseg", "s3://scans/metseg")],
)
def test_a_store_folder_becomes_absolute_and_an_address_stays(given: str, told: str) -> None:
    assert StackSettings(store=given).service_environment({})["METSEG_STORE"] == told


def test_without_settings_everything_is_on_loopback() -> None:
    assert StackSettings.from_env({}).host == "127.0.0.1"


def test_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("METSEG_API_PORT=18001\nMETSEG_UI_PORT=18002\n")
    settings = StackSettings.read({"METSEG_API_PORT": "18003"}, env_file)
    assert (settings.api_port, settings.ui_port) == (18003, 18002)


def test_without_an_env_file_the_environment_stands(tmp_path: Path) -> None:
    assert merged_environment({"A": "1"}, tmp_path / ".env") == {"A": "1"}


def test_a_port_that_is_none_is_refused_by_its_name() -> None:
    with pytest.raises(SettingsError, match="METSEG_API_PORT"):
        StackSettings.from_env({"METSEG_API_PORT": "70000"})
