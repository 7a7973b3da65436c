"""What the contract suite serves: small models and TF Serving's files (as a program: written to DIR)."""

import sys
from pathlib import Path

from standin import save_model

MODEL = "tiny"
SCALES = {1: 0.25, 2: 0.5}
"""What white becomes in each version, which tells them apart."""
BROKEN = 3
"""A version that no server can load."""

START = """model_config_list {
  config {
    name: "tiny"
    base_path: "/models/tiny"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 versions: 2 } }
    version_labels { key: "stable" value: 1 }
  }
}
"""
MONITORING = 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }\n'
BATCHING = """max_batch_size { value: 16 }
batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 64 }
num_batch_threads { value: 2 }
enable_large_batch_splitting { value: true }
max_execution_batch_size { value: 16 }
allowed_batch_sizes: 1
allowed_batch_sizes: 4
allowed_batch_sizes: 16
"""
FLAGS = (
    "--allow_version_labels_for_unavailable_models=true",
    "--enable_batching=true",
    "--enable_grpc_healthcheck_service=true",
    "--enable_serialization_as_tensor_content=true",
    "--num_load_threads=2",
    "--max_num_load_retries=2",
    "--load_retry_interval_micros=5000000",
)


def make_folder(folder: Path) -> Path:
    """Write `models/` and `config/` below the folder, which is made."""
    for version, scale in SCALES.items():
        save_model(folder / "models" / MODEL / str(version), scale=scale, warmup_shape=(1, 256, 256, 3))
    broken = folder / "models" / MODEL / str(BROKEN)
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"\x08\x01 this is no graph")
    config = folder / "config"
    config.mkdir()
    for name, text in (("models", START), ("monitoring", MONITORING), ("batching", BATCHING)):
        (config / f"{name}.config").write_text(text)
    return folder


def config_flags(folder: str) -> list[str]:
    """The flags that name the files, which the server sees in `folder`."""
    return [
        f"--model_config_file={folder}/models.config",
        f"--monitoring_config_file={folder}/monitoring.config",
        f"--batching_parameters_file={folder}/batching.config",
    ]


if __name__ == "__main__":
    made = make_folder(Path(sys.argv[1])).resolve()
    flags = " ".join([*config_flags("/config"), *FLAGS])
    (made / "flags").write_text(flags + "\n")
    sys.stdout.write(
        f"Serve it, for instance so:\n  docker run --rm -p 8500:8500 -p 8501:8501 -v {made}/models:/models:ro "
        f"-v {made}/config:/config:ro --entrypoint tensorflow_model_server tensorflow/serving:2.21.0 "
        f"--port=8500 --rest_api_port=8501 {flags}\n"
        "then ask it:\n  METSEG_CONTRACT_TARGET=127.0.0.1:8500 make contract\n"
    )
