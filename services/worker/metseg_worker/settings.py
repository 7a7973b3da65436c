"""Settings that the worker takes from its environment."""

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from metseg.queue.rq_worker import DRAIN_S
from metseg.tracing.api import TraceSettings


class WorkerSettings(TraceSettings):
    """The worker's `METSEG_*` variables.

    Attributes:
        store: Folder or URL of the blob store.
        redis_port: Port of the Redis on this host, where no `redis_url` is given.
        redis_url: Where the queue is.
        serving_port: gRPC port of the TF Serving on this host, where no `serving` is given.
        serving: TF Serving as host:port.
        serving_device: What that server is said to run the networks on, to be told in results as stated.
        models: Folder of the exported models; the worker reads their cards.
        job_timeout_s: A job that takes longer fails; what it waits for TF Serving does not count.
        serving_patience_s: A job fails that has waited longer than that for TF Serving, in all.
        predict_timeout_s: A call of TF Serving that takes longer is given up, and made again.
        drain_s: A worker that is told to stop gives its job this long to end before it gives it back.
    """

    store: str = "./data"
    redis_port: int = Field(default=6380, ge=1, le=65535)
    redis_url: str = Field(default="", pattern="^(redis|rediss|unix)://")
    serving_port: int = Field(default=8500, ge=1, le=65535)
    serving: str = Field(default="", pattern="^.+:[0-9]+$")
    serving_device: str = Field(default="not stated", max_length=100)
    models: Path = Path("models")
    job_timeout_s: float = Field(default=600, gt=0)
    serving_patience_s: float = Field(default=900, ge=0)
    predict_timeout_s: float = Field(default=30, gt=0)
    drain_s: float = Field(default=DRAIN_S, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _fill_addresses(cls, given: dict[str, Any]) -> dict[str, Any]:
        redis_url = f"redis://127.0.0.1:{given.get('redis_port', 6380)}/0"
        serving = f"127.0.0.1:{given.get('serving_port', 8500)}"
        return {"redis_url": redis_url, "serving": serving} | given
