"""Settings that the `metseg` command takes from its environment."""

from pydantic import Field

from metseg.settings import ApiKeySettings


class ClientSettings(ApiKeySettings):
    """Where the API listens: `METSEG_API_URL`, else this machine's `METSEG_API_PORT`; and the key it wants."""

    api_port: int = Field(default=8000, ge=1, le=65535)
    api_url: str | None = Field(default=None, pattern="^https?://")

    @property
    def api(self) -> str:
        """Address of the API."""
        return self.api_url or f"http://127.0.0.1:{self.api_port}"
