"""The model server of the local stack: the stand-in, with the files and flags of TF Serving in the containers."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.local.settings import ROOT, StackSettings

SHIPPED: Final = ROOT / "services" / "serving"


def place_models_file(models: Path) -> Path:
    """The models file beside the models, where `make promote` changes it; at first it is the shipped one."""
    placed = models / "models.config"
    if not placed.exists():
        models.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SHIPPED / placed.name, placed)
    return placed


def serving_command(models_file: Path) -> Sequence[str]:
    """The command line of the stand-in; it takes its ports and its models from the environment."""
    return [
        sys.executable, "-m", "metseg_serving",
        f"--model_config_file={models_file}",
        f"--batching_parameters_file={SHIPPED / 'batching.config'}",
        f"--monitoring_config_file={SHIPPED / 'monitoring.config'}",
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_serialization_as_tensor_content=true",
        "--grpc_channel_arguments=grpc.max_receive_message_length=-1",
    ]  # fmt: skip


def main() -> int:
    """Become the model server."""
    command = serving_command(place_models_file(ROOT / StackSettings.read().models))
    os.execv(command[0], list(command))


if __name__ == "__main__":
    sys.exit(main())
