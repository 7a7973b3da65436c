"""How the server behaves towards its clients, its configuration and the disk."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ServerRules:
    """What flags say about the two ports and about looking for changes.

    Args:
        models: The folder that stands for `/models` in a configuration.
        as_content: Answer arrays as bytes in one piece, not value after value.
        channel_arguments: Options of gRPC; without any, a message may have 2 GiB.
        poll_s: Pause between looks for new versions.
        config_file: The models file.
        config_poll_s: Pause between looks for a change of it; 0 looks at the start alone.
        metrics_path: Path of the page for Prometheus on the REST port; None for no page.
        health_check: Whether the gRPC port answers the standard health check.
    """

    models: Path
    as_content: bool = False
    channel_arguments: tuple[tuple[str, int | str], ...] = ()
    poll_s: float = 1.0
    config_file: Path | None = None
    config_poll_s: float = 0.0
    metrics_path: str | None = None
    health_check: bool = False
