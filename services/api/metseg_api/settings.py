"""Settings of the API, from `METSEG_*`."""

from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from metseg.errors import SettingsError
from metseg.schemas.job import KEPT_S, MOST_KEPT_S
from metseg.tracing.api import TraceSettings
from metseg_api.auth.api_keys import KeyFile
from metseg_api.auth.oidc import OidcSettings


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
    keys: Path
    open: bool = False
    canary_share: float = Field(default=0.0, ge=0, le=1)
    canary_compared: float = Field(default=1.0, ge=0, le=1)
    max_upload_bytes: int = Field(default=1 << 30, ge=1)
    max_queued: int = Field(default=1000, ge=1)
    min_free_bytes: int = Field(default=1 << 29, ge=0)
    max_requests_per_minute: int = Field(default=1200, ge=1)
    max_open_jobs: int = Field(default=100, ge=1)
    max_uploads: int = Field(default=64, ge=1)
    max_connections: int = Field(default=4096, ge=16)
    min_upload_bytes_per_s: int = Field(default=1 << 14, ge=1)
    job_timeout_s: int = Field(default=600, ge=1)
    kept_s: float = Field(default=KEPT_S, gt=0, le=MOST_KEPT_S)
    webhook_hosts: str = Field(default="", pattern=r"^[A-Za-z0-9_.:\-, ]*$")
    allowed_hosts: str = Field(default="", pattern=r"^[A-Za-z0-9_.\-, ]*$")

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
        return _names(self.webhook_hosts)

    @property
    def allowed_host_names(self) -> frozenset[str]:
        """Names, without ports, under which the API answers where it wants keys; none: under each."""
        return _names(self.allowed_hosts)

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
    def _addresses_and_places(cls, given: Any) -> Any:
        """Find queue and TF Serving by their ports, and the keys beside the folder of the store."""
        if not isinstance(given, dict):
            return given
        store = given.get("store", cls.model_fields["store"].default)
        ports = {name: given.get(name, cls.model_fields[name].default) for name in ("redis_port", "serving_port")}
        return {
            "redis_url": f"redis://127.0.0.1:{ports['redis_port']}/0",
            "serving": f"127.0.0.1:{ports['serving_port']}",
            "keys": Path("keys.json") if "://" in store else Path(store).parent / "keys.json",
        } | given


def _names(listed: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in listed.split(",") if name.strip())
