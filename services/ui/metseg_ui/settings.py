"""Settings that the page takes from its environment."""

from pydantic import Field, field_validator

from metseg.settings import ApiKeySettings


class Settings(ApiKeySettings):
    """Read once, when the page's process starts."""

    host: str = "127.0.0.1"
    ui_port: int = Field(default=8501, ge=1, le=65535)
    api_port: int = Field(default=8000, ge=1, le=65535)
    api_url: str | None = None
    max_upload_bytes: int = Field(default=1 << 30, ge=1)

    @field_validator("api_url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("expected an address that begins with http:// or https://")
        return value

    @property
    def api(self) -> str:
        """Where the job API listens: `METSEG_API_URL`, else this machine's `METSEG_API_PORT`."""
        return self.api_url or f"http://127.0.0.1:{self.api_port}"
