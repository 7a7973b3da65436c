"""Settings of the API, from `METSEG_*`."""

from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from metseg.errors import SettingsError
from metseg.jobs import KEPT_S, MOST_KEPT_S
from metseg.tracing import TraceSettings
from metseg_api.keys import KeyFile
from metseg_api.oidc import OidcSettings


class ApiSettings(OidcSettings, TraceSettings):
    """Where the API listens and which store, queue, server and models it speaks for."""

    host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=1, le=65535)
    store: str = "./data"
    redis_port: int = Field(default=6380, ge=1, le=65535)
    redis_url: str
    serving_port: int = Field(default=8500, ge=1, le=65535)
    serving: str
    models: Path = Path("models")
    keys: Path = Path("keys.json")
    canary_share: float = Field(default=0.0, ge=0, le=1)
    canary_compared: float = Field(default=1.0, ge=0, le=1)
    max_upload_bytes: int = Field(default=1 << 30, ge=1)
    max_queued: int = Field(default=1000, ge=1)
    min_free_bytes: int = Field(default=1 << 29, ge=0)
    max_requests_per_minute: int = Field(default=1200, ge=1)
    max_open_jobs: int = Field(default=100, ge=1)
    job_timeout_s: int = Field(default=600, ge=1)
    kept_s: float = Field(default=KEPT_S, gt=0, le=MOST_KEPT_S)
    webhook_hosts: str = Field(default="", pattern=r"^[A-Za-z0-9_.:\-, ]*$")

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can reach the API."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def webhook_host_names(self) -> frozenset[str]:
        """Hosts to which webhooks may go whatever their address is, and without TLS."""
        return frozenset(name.strip().lower() for name in self.webhook_hosts.split(",") if name.strip())

    def key_file(self) -> KeyFile | None:
        """The API keys; None, which lets everyone in, where only this machine can ask and nothing controls access.

        Nothing does where no key was ever made and no issuer of tokens is named.

        Raises:
            SettingsError: The file is damaged, or there is none and others could reach the API.
        """
        keys = KeyFile(self.keys)
        if keys.keys() or self.oidc_issuer is not None:
            return keys
        if not self.is_local:
            raise SettingsError(
                f"METSEG_HOST: {self.host} can be reached from elsewhere, and there is neither an API key "
                "(`metseg-api keys create` makes one) nor METSEG_OIDC_ISSUER"
            )
        return None

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
