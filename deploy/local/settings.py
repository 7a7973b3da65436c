"""Where the local stack listens and where it keeps its things."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from honcho.environ import parse
from pydantic import Field

from metseg.settings import ApiKeySettings

ROOT = Path(__file__).resolve().parents[2]

Port = Annotated[int, Field(ge=1, le=65535)]


class StackSettings(ApiKeySettings):
    """Settings of `make demo`, `make start` and `make stop`; relative folders lie in the repository."""

    host: str = "127.0.0.1"
    api_port: Port = 8000
    ui_port: Port = 8501
    serving_port: Port = 8500
    serving_rest_port: Port = 8502
    redis_port: Port = 6380
    store: str = "data"
    models: Path = Path("models")
    run: Path = Path(".run")

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ, env_file: Path = ROOT / ".env") -> Self:
        """Read the settings from the environment and, beneath it, from the file `.env`."""
        return cls.from_env(merged_environment(environ, env_file))

    @property
    def run_folder(self) -> Path:
        """Folder of the stack's record, its log and Redis's files."""
        return ROOT / self.run

    @property
    def log_file(self) -> Path:
        """What all services of the stack wrote."""
        return self.run_folder / "stack.log"

    @property
    def api_url(self) -> str:
        """Address of the API, without a slash at its end."""
        return f"http://{self.host}:{self.api_port}"

    @property
    def page_url(self) -> str:
        """Address of the page."""
        return f"http://{self.host}:{self.ui_port}"

    def ports(self) -> dict[str, int]:
        """Each port the stack takes, under the variable that changes it."""
        fields = ("api_port", "ui_port", "serving_port", "serving_rest_port", "redis_port")
        return {self.variables()[field]: getattr(self, field) for field in fields}

    def service_environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The environment of every service: what was given, and each address of this stack spelt out."""
        store = self.store if "://" in self.store else str(ROOT / self.store)
        scripts = str(Path(sys.executable).parent)
        return {
            **environ,
            **{name: str(port) for name, port in self.ports().items()},
            "METSEG_HOST": self.host,
            "METSEG_STORE": store,
            "METSEG_MODELS": str(ROOT / self.models),
            "METSEG_RUN": str(self.run_folder),
            "METSEG_REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "METSEG_SERVING": f"127.0.0.1:{self.serving_port}",
            "METSEG_API_URL": self.api_url,
            "PATH": os.pathsep.join([scripts, environ.get("PATH", os.defpath)]),
            "PYTHONUNBUFFERED": "1",
        }


def merged_environment(environ: Mapping[str, str] = os.environ, env_file: Path = ROOT / ".env") -> dict[str, str]:
    """The environment, with what only the file `.env` names added to it."""
    given = parse(env_file.read_text(encoding="utf-8")) if env_file.is_file() else {}
    return {**given, **environ}
