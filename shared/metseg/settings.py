"""Settings from `METSEG_*` environment variables, read once and checked."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metseg.errors import SettingsError

PREFIX = "METSEG_"


class EnvSettings(BaseModel):
    """Base of each service's settings: the field `max_upload_bytes` is read from `METSEG_MAX_UPLOAD_BYTES`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def variables(cls) -> dict[str, str]:
        """Name of the environment variable behind each field."""
        return {field: PREFIX + field.upper() for field in cls.model_fields}

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the settings; an empty variable counts as unset.

        Raises:
            SettingsError: one line that names the variable and what is wrong with it.
        """
        given = {field: environ[name] for field, name in cls.variables().items() if environ.get(name)}
        try:
            return cls.model_validate(given)
        except ValidationError as exc:
            first = exc.errors(include_input=False, include_url=False)[0]
            name = PREFIX + ".".join(str(part) for part in first["loc"]).upper()
            raise SettingsError(f"{name}: {first['msg']}") from None


class ApiKeySettings(EnvSettings):
    """Settings of a program that speaks to the API: the key that it sends, itself or the file it stands in."""

    api_key: str | None = Field(default=None, repr=False)
    api_key_file: Path | None = None

    def key(self) -> str | None:
        """The API key; None where neither variable is set.

        Raises:
            SettingsError: both are, or the file cannot be read or is empty.
        """
        if self.api_key_file is None:
            return self.api_key
        if self.api_key is not None:
            raise SettingsError("METSEG_API_KEY: expected it or METSEG_API_KEY_FILE, and both came")
        try:
            key = self.api_key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise SettingsError(f"METSEG_API_KEY_FILE: cannot read the file ({type(exc).__name__})") from exc
        if not key:
            raise SettingsError("METSEG_API_KEY_FILE: expected a key in the file, and it is empty")
        return key
