"""The API key of those who speak to the API."""

from pathlib import Path

import pytest

from metseg.errors import SettingsError
from metseg.settings import ApiKeySettings


def read(**environ: str) -> str | None:
    return ApiKeySettings.from_env(environ).key()


def test_the_key_stands_in_the_variable_or_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("metseg_1_secret\n")
    assert read() is None
    assert read(METSEG_API_KEY="metseg_2_secret") == "metseg_2_secret"
    assert read(METSEG_API_KEY_FILE=str(file)) == "metseg_1_secret"


def test_both_at_once_a_missing_and_an_empty_file_are_named(tmp_path: Path) -> None:
    empty = tmp_path / "key"
    empty.write_text("\n")
    for environ in (
        {"METSEG_API_KEY_FILE": str(tmp_path / "nothing")},
        {"METSEG_API_KEY_FILE": str(empty)},
        {"METSEG_API_KEY_FILE": str(empty), "METSEG_API_KEY": "x"},
    ):
        with pytest.raises(SettingsError, match="METSEG_API_KEY"):
            read(**environ)


def test_the_key_does_not_show_in_what_is_printed_of_the_settings() -> None:
    assert "secret" not in repr(ApiKeySettings.from_env({"METSEG_API_KEY": "secret"}))
