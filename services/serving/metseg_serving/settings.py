"""Defaults of the command line, from the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from metseg.settings import EnvSettings

Port = Annotated[int, Field(ge=0, le=65535)]


class ConfigError(ValueError):
    """A flag or a configuration file cannot be used; the message is one line for the operator."""


class ServingSettings(EnvSettings):
    """What `metseg-serving` takes from `METSEG_*` where no flag says otherwise."""

    host: str = "127.0.0.1"
    serving_port: Port = 8500
    serving_rest_port: Port = 8502
    models: Path = Path("models")
