"""How the page is started."""

import os
import subprocess
import sys

import pytest

from metseg.errors import SettingsError
from metseg_ui.server import arguments
from metseg_ui.settings import Settings


def test_nothing_listens_beyond_this_machine_unless_told_so() -> None:
    assert "--server.address=127.0.0.1" in arguments(Settings.from_env({}))
    assert "--server.address=0.0.0.0" in arguments(Settings.from_env({"METSEG_HOST": "0.0.0.0"}))


def test_the_page_is_silent_towards_the_world_and_shows_no_traceback() -> None:
    given = arguments(Settings.from_env({"METSEG_UI_PORT": "9999"}))
    for option in (
        "--browser.gatherUsageStats=false", "--client.showErrorDetails=none", "--server.fileWatcherType=none",
        "--server.enableXsrfProtection=true", "--server.headless=true", "--server.port=9999",
    ):  # fmt: skip
        assert option in given


def test_uploads_are_limited_as_in_the_api() -> None:
    given = arguments(Settings.from_env({"METSEG_MAX_UPLOAD_BYTES": str(300 << 20)}))
    assert "--server.maxUploadSize=300" in given


def test_the_api_is_looked_for_on_this_machine_unless_told_so() -> None:
    assert Settings.from_env({"METSEG_API_PORT": "8123"}).api == "http://127.0.0.1:8123"
    assert Settings.from_env({"METSEG_API_URL": "https://api.example"}).api == "https://api.example"


@pytest.mark.parametrize("variables", [{"METSEG_API_URL": "api:8000"}, {"METSEG_UI_PORT": "70000"}])
def test_a_wrong_setting_is_one_clear_line(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(variables))):
        Settings.from_env(variables)
    run = subprocess.run(
        [sys.executable, "-m", "metseg_ui"], env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert run.stderr.startswith(f"metseg-ui: {next(iter(variables))}")
