"""Settings of the API, from `METSEG_*`."""

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from metseg.settings import EnvSettings


class ApiSettings(EnvSettings):
    """Where the API listens and which store, queue, server and models it speaks for."""

    host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=1, le=65535)
    store: str = "./data"
    redis_port: int = Field(default=6380, ge=1, le=65535)
    redis_url: str
    serving_port: int = Field(default=8500, ge=1, le=65535)
    serving: str
    models: Path = Path("models")
    max_upload_bytes: int = Field(default=1 << 30, ge=1)
    job_timeout_s: int = Field(default=600, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _addresses_from_ports(cls, given: Any) -> Any:
        """Without an address, the queue and TF Serving are looked for on this machine, on their ports."""
        if not isinstance(given, dict):
            return given
        ports = {name: given.get(name, cls.model_fields[name].default) for name in ("redis_port", "serving_port")}
        return {
            "redis_url": f"redis://127.0.0.1:{ports['redis_port']}/0",
            "serving": f"127.0.0.1:{ports['serving_port']}",
        } | given
