"""What a run computes on: the processor, the GPUs that the Keras backend sees, and how many share a step."""

import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from metseg.errors import RequestError
from metseg_trainer.recipes.options import Precision

_CPU_INFO = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


@dataclass(frozen=True)
class Hardware:
    """How a run uses the machine; its result depends on it within rounding.

    Attributes:
        devices: Devices that share each batch; None takes all GPUs, or the processor where there is none.
        deterministic: Let equal seeds give equal bits on a GPU, too, at the price of speed; on a processor they do
            in any case. With the TensorFlow backend only.
    """

    devices: int | None = None
    deterministic: bool = False


def gpu_names() -> list[str]:
    """List the GPUs that the Keras backend can use."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf  # the other backends do without it

        return [_tensorflow_name(device) for device in tf.config.list_physical_devices("GPU")]
    if backend == "jax":
        import jax

        return [device.device_kind for device in jax.devices() if device.platform == "gpu"]
    import torch

    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def cpu_name(info: Path = _CPU_INFO) -> str:
    """Return the processor's model name."""
    return _cpu_field(info, "model name") or platform.processor() or platform.machine()


def resolve_precision(wanted: Precision, info: Path = _CPU_INFO) -> Precision:
    """Settle what `auto` means on this machine; any other precision stays as it is."""
    if wanted is not Precision.AUTO:
        return wanted
    if gpu_names():
        return Precision.FLOAT16
    flags = _BFLOAT16_FLAGS & set(_cpu_field(info, "flags").split())
    return Precision.BFLOAT16 if flags else Precision.FLOAT32


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Let the layers built inside compute in a precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(str(precision))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def sharing_scope(hardware: Hardware, batch: int) -> AbstractContextManager[Any] | None:
    """Return the scope in which a network is built so that several devices share its steps; None for one device.

    Raises:
        RequestError: There are fewer devices than asked for, the backend uses one alone, or the batch cannot be
            dealt out evenly.
    """
    if hardware.deterministic:
        _make_deterministic()
    wanted = hardware.devices or (max(len(gpu_names()), 1) if _is_tensorflow() else 1)
    if wanted == 1:
        return None
    if not _is_tensorflow():
        raise RequestError(
            f"{wanted} devices were asked for; the {keras.backend.backend()} backend trains on one here."
        )
    if batch % wanted:
        raise RequestError(f"A batch of {batch} slices cannot be dealt out evenly to {wanted} devices.")
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(found) < wanted:
        raise RequestError(f"{wanted} devices were asked for, but only {len(found)} can be seen.")
    strategy = tf.distribute.MirroredStrategy([device.name for device in found[:wanted]])
    scope: AbstractContextManager[Any] = strategy.scope()
    return scope


def device_names(hardware: Hardware) -> list[str]:
    """Name what a run computes on, for its record."""
    gpus = gpu_names()
    count = hardware.devices or (max(len(gpus), 1) if _is_tensorflow() else 1)
    return gpus[:count] or [cpu_name()] * count


def _is_tensorflow() -> bool:
    return bool(keras.backend.backend() == "tensorflow")


def _make_deterministic() -> None:
    if not _is_tensorflow():
        raise RequestError(f"--deterministic needs the TensorFlow backend; this is {keras.backend.backend()}.")
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()


def _tensorflow_name(device: Any) -> str:
    import tensorflow as tf

    return str(tf.config.experimental.get_device_details(device).get("device_name", device.name))


def _cpu_field(info: Path, name: str) -> str:
    if not info.is_file():
        return ""
    lines = info.read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
