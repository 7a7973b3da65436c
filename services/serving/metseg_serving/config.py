"""TF Serving's configuration files, read into what metseg-serving needs of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from metseg_serving.proto.batching_parameters_pb2 import BatchingParameters
from metseg_serving.proto.monitoring_config_pb2 import MonitoringConfig
from metseg_serving.refusal import Refusal, invalid
from metseg_serving.settings import ConfigError

CONTAINER_MODELS: Final = PurePosixPath("/models")


@dataclass(frozen=True)
class BatchingRules:
    """How requests that wait at the same moment become one batch; the defaults are TF Serving's.

    Args:
        max_batch_size: Rows in a request; a larger one is refused.
        timeout_s: How long a batch that is not full waits for more; 0 takes what is there.
        max_enqueued_batches: How many batches may wait for one version before requests are turned away.
        max_execution_batch_size: Rows in a batch where large requests may be split over several; None splits none.
    """

    max_batch_size: int = 1000
    timeout_s: float = 0.0
    max_enqueued_batches: int = 10
    max_execution_batch_size: int | None = None

    @property
    def rows_per_batch(self) -> int:
        """Rows with which a batch is full."""
        return self.max_execution_batch_size or self.max_batch_size


@dataclass(frozen=True)
class VersionPolicy:
    """Which of the versions on disk are served.

    Args:
        latest: The newest so many, where `specific` is None.
        specific: These alone.
    """

    latest: float = 1
    specific: frozenset[int] | None = None

    def choose(self, numbers: set[int]) -> set[int]:
        """Those of `numbers` that the policy serves."""
        if self.specific is not None:
            return numbers & self.specific
        newest = sorted(numbers, reverse=True)
        return set(newest[: int(min(self.latest, len(newest)))])


@dataclass(frozen=True)
class ModelSource:
    """Where the versions of one model lie, which of them are served, and which have a label."""

    name: str
    base_path: Path
    policy: VersionPolicy = VersionPolicy()
    labels: Mapping[str, int] = field(default_factory=dict)

    def versions(self) -> dict[int, Path]:
        """Every version folder; its name is a whole number, so hidden and temporary folders are none.

        Raises:
            OSError: The folder cannot be read.
        """
        children = [child for child in self.base_path.iterdir() if child.name.isascii()]
        return {int(child.name): child for child in children if child.name.isdigit() and child.is_dir()}


def discover(models: Path) -> list[ModelSource]:
    """The folders under `models` that hold at least one version."""
    if not models.is_dir():
        return []
    folders = sorted(child for child in models.iterdir() if child.is_dir() and child.name[0] != ".")
    return [source for source in (ModelSource(child.name, child) for child in folders) if source.versions()]


def read_models(file: Path, models: Path) -> list[ModelSource]:
    """The models that a `models.config` names.

    Args:
        file: Text of a ModelServerConfig.
        models: Stands for `/models`, where containers mount that folder.

    Raises:
        ConfigError: The file cannot be read, or asks for what metseg-serving does not do.
    """
    config = _parse(file, ModelServerConfig())
    if not config.model_config_list.config:
        raise ConfigError(f"{file}: names no model in a model_config_list")
    try:
        return listed_models(config, models)
    except Refusal as exc:
        raise ConfigError(f"{file}: {exc}") from exc


def listed_models(config: Any, models: Path) -> list[ModelSource]:  # a ModelServerConfig
    """The models of a configuration.

    Raises:
        Refusal: It lists a model twice or by halves, or asks for what metseg-serving does not do.
    """
    if not config.HasField("model_config_list"):
        raise invalid(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is "
            "currently supported"
        )
    sources: dict[str, ModelSource] = {}
    for entry in config.model_config_list.config:
        if entry.name in sources:
            raise invalid(f"Illegal to list model {entry.name} multiple times in config list")
        sources[entry.name] = _source(entry, models)
    return list(sources.values())


def read_batching(file: Path) -> BatchingRules:
    """Read the rules of a `batching.config`; what is for GPUs (threads, padding) is passed over.

    Raises:
        ConfigError: The file cannot be read, or a value is out of range.
    """
    message = BatchingParameters()
    _parse(file, message)
    default = BatchingRules()
    max_batch_size = _value(message, "max_batch_size", default.max_batch_size)
    splits = message.enable_large_batch_splitting.value
    rules = BatchingRules(
        max_batch_size,
        _value(message, "batch_timeout_micros", 0) / 1e6,
        _value(message, "max_enqueued_batches", default.max_enqueued_batches),
        _value(message, "max_execution_batch_size", max_batch_size) if splits else None,
    )
    if min(rules.max_batch_size, rules.rows_per_batch, rules.max_enqueued_batches) < 1 or rules.timeout_s < 0:
        raise ConfigError(f"{file}: sizes must be at least 1 and times at least 0")
    if rules.rows_per_batch > rules.max_batch_size:
        raise ConfigError(f"{file}: max_execution_batch_size must be at most max_batch_size")
    sizes = list(message.allowed_batch_sizes)
    if sizes and (sizes != sorted(set(sizes)) or sizes[-1] != rules.rows_per_batch):
        raise ConfigError(
            f"{file}: allowed_batch_sizes must grow and end with max_batch_size, or with max_execution_batch_size "
            "where large batches are split"
        )
    return rules


def read_monitoring(file: Path) -> str | None:
    """The path of the page for Prometheus in a `monitoring.config`; None where it is not enabled.

    Raises:
        ConfigError: The file cannot be read, or the path is not absolute.
    """
    prometheus = _parse(file, MonitoringConfig()).prometheus_config
    if not prometheus.enable:
        return None
    if not prometheus.path.startswith("/"):
        raise ConfigError(f"{file}: the path must begin with a slash, not be {prometheus.path!r}")
    return str(prometheus.path)


def channel_arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    """Options of gRPC from `key=value,key=value`."""
    pairs = [item.partition("=") for item in text.split(",") if item]
    return tuple((key, int(value) if value.lstrip("-").isdigit() else value) for key, _, value in pairs)


def source_finder(file: Path | None, models: Path) -> Callable[[], list[ModelSource]]:
    """What to ask at each poll for the models to serve: those of the file, or whatever lies in the folder."""
    if file is None:
        return lambda: discover(models)
    sources = read_models(file, models)
    return lambda: sources


def _parse(file: Path, message: Any) -> Any:  # a message of any type
    try:
        return text_format.Parse(file.read_text(encoding="utf-8"), message)
    except OSError as exc:
        raise ConfigError(f"{file}: {exc.strerror}") from exc
    except (UnicodeDecodeError, text_format.ParseError) as exc:
        raise ConfigError(f"{file}: {exc}") from exc


def _value(message: BatchingParameters, field: str, default: int) -> int:
    return int(getattr(message, field).value) if message.HasField(field) else default


def _source(entry: Any, models: Path) -> ModelSource:  # a ModelConfig
    if not entry.name or not entry.base_path:
        raise invalid("every model needs a name and a base_path")
    if not entry.model_platform:
        raise invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {entry.name}"
        )
    if entry.model_platform != "tensorflow":
        raise invalid(f"Model {entry.name} requests unsupported platform {entry.model_platform}")
    base_path = PurePosixPath(entry.base_path)
    if not base_path.is_absolute():
        raise invalid(
            f"Expected model {entry.name} to have an absolute path or URI; got base_path()={entry.base_path}"
        )
    if base_path.is_relative_to(CONTAINER_MODELS):
        base_path = base_path.relative_to(CONTAINER_MODELS)
    return ModelSource(entry.name, models / base_path, _policy(entry), dict(entry.version_labels))


def _policy(entry: Any) -> VersionPolicy:
    choice = entry.model_version_policy.WhichOneof("policy_choice")
    if choice == "all":
        return VersionPolicy(latest=float("inf"))
    if choice == "specific":
        return VersionPolicy(specific=frozenset(entry.model_version_policy.specific.versions))
    return VersionPolicy(latest=int(entry.model_version_policy.latest.num_versions) or 1)
