"""Settings from `METSEG_*` environment variables, read once and checked."""

import os
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

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
