"""The model server of the local stack: metseg-serving, with files and flags of TF Serving in the containers."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.local.settings import ROOT, StackSettings
from metseg_api.rollout.errors import RolloutError
from metseg_api.rollout.serving_config import CONFIG_FILE, add_models

SHIPPED: Final = ROOT / "services" / "serving"


def place_models_file(models: Path) -> Path:
    """The models file beside the models, where `make promote` changes it, with every shipped model that is there.

    Raises:
        RolloutError: None is there, or the file is damaged.
    """
    add_models(models, SHIPPED / CONFIG_FILE)
    return models / CONFIG_FILE


def serving_command(models_file: Path) -> Sequence[str]:
    """The command line of metseg-serving; it takes its ports and its models from the environment."""
    return [
        sys.executable, "-m", "metseg_serving",
        f"--model_config_file={models_file}",
        f"--batching_parameters_file={SHIPPED / 'batching.config'}",
        f"--monitoring_config_file={SHIPPED / 'monitoring.config'}",
        "--enable_batching=true",
        "--enable_model_warmup=false",  # on a CPU it takes longer than the first jobs gain by it
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_serialization_as_tensor_content=true",
        "--num_load_threads=2",
        "--max_num_load_retries=2",
        "--load_retry_interval_micros=5000000",
    ]  # fmt: skip


def main() -> int:
    """Become the model server."""
    try:
        command = serving_command(place_models_file(ROOT / StackSettings.read().models))
    except RolloutError as exc:
        sys.stderr.write(f"model server: {exc}\n")
        return 1
    os.execv(command[0], list(command))


if __name__ == "__main__":
    sys.exit(main())
